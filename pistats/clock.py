"""Wall-clock time as the system counts it: Unix milliseconds, UTC."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Gives Unix milliseconds. Everything that needs the time takes one, so that tests can move it."""


def now_ms() -> int:
    """The time now in Unix milliseconds."""
    return time.time_ns() // 1_000_000

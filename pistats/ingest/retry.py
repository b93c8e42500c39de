"""How long to wait before an append is tried again: the one policy of everything that ingest retries."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits that double from `first_s` to `most_s`, each shortened by up to half so that retries spread."""

    first_s: float = 0.02
    """A partition that only restarted its event loop is back within this."""
    most_s: float = 1.0
    """A restarted partition is noticed within a second, and one that stays away is asked no more often."""

    def waits_s(self) -> Iterator[float]:
        """Endless: the caller knows its deadline."""
        wait_s = self.first_s
        while True:
            yield wait_s * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, protects nothing
            wait_s = min(2 * wait_s, self.most_s)

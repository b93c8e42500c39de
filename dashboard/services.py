"""What the page scripts may use. Streamlit runs them in this process, in threads, so they find it here."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from pymongo.asynchronous.database import AsyncDatabase

from dashboard.answers import Answers
from dashboard.keeper import Keeper
from dashboard.shown import ShownGroup
from dashboard.sign_in import SignIns
from pistats.errors import UnavailableError
from pistats.live.hub import LiveHub
from pistats.operations import Operations
from pistats.reports.reports import Reports
from pistats.settings import Settings

T = TypeVar("T")

ANSWER_S = 60.0
"""Longest wait of a page for one answer: above every query's own time-out."""


@dataclass(frozen=True, slots=True)
class Services:
    """One per process, made when the server starts. `system` is the system's database."""

    settings: Settings
    system: AsyncDatabase[dict[str, Any]]
    keeper: Keeper
    sign_ins: SignIns
    hub: LiveHub
    shown: ShownGroup
    answers: Answers
    operations: Operations
    loop: asyncio.AbstractEventLoop

    @property
    def reports(self) -> Reports:
        """The reports of the group that is shown now."""
        return self.shown.reports

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = ANSWER_S) -> T:
        """The result of `work`, run on the server's loop, from the thread of a page script. Raises what it raises.

        Raises UnavailableError after `timeout_s`; the work is cancelled then.
        """
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            if not future.cancel() and future.done():
                raise  # a time-out of the work's own
            raise UnavailableError(f"No answer within {timeout_s:.0f} s: reload the page to try again.") from None


_running: Services | None = None


def provide(services: Services | None) -> None:
    """Makes the services known to the pages; None when the server stops."""
    global _running
    _running = services


def services() -> Services:
    """The running server's services."""
    if _running is None:
        raise UnavailableError("The dashboard is not running: start it with `python -m dashboard`.")
    return _running

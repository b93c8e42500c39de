"""The consumer group that the readers show, and what answers for it: another one within a second of a promotion."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from serve_app.query.live_numbers import LiveNumbers

if TYPE_CHECKING:
    from pistats.reports.reports import Reports

log = logging.getLogger(__name__)

ASK_S = 1.0
"""How stale the shown group may be: one tiny read a second while there are queries, none while there are none."""


@dataclass(frozen=True)
class GroupParts:
    """What answers for one group."""

    name: str
    database: AsyncDatabase[dict[str, Any]]
    live: LiveNumbers
    make_reports: "Callable[[], Reports]"

    @cached_property
    def reports(self) -> "Reports":
        """Made at the first question to the warehouse."""
        return self.make_reports()


class ShownGroup:
    """Gives the parts of the group that is shown now, and makes them when it is another one. One event loop."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[str]],
        make: Callable[[str], GroupParts],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._make = make
        self._clock_s = clock_s
        self._asked_s = float("-inf")
        self._made: list[GroupParts] = []

    async def parts(self) -> GroupParts:
        """What answers now. While MongoDB is away, what answered last; raises PyMongoError when nothing has yet."""
        if self._made and self._clock_s() - self._asked_s < ASK_S:
            return self._made[-1]
        try:
            name = await self._ask()
        except PyMongoError as error:
            if not self._made:
                raise
            log.debug("which group is shown could not be read: %s", error)
            return self._made[-1]
        self._asked_s = self._clock_s()
        if not self._made or self._made[-1].name != name:
            self._made.append(self._make(name))
        return self._made[-1]

    async def close(self) -> None:
        """Stop whatever still follows a group. One that is not shown any more stops by itself when its readers go."""
        for parts in self._made:
            await parts.live.close()

"""The consumer group that the pages show, its live numbers and its reports: of another one after a promotion."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from pistats.live import LiveView
from pistats.live.source import LiveSource
from pistats.reports.reports import Reports

log = logging.getLogger(__name__)

ASK_S = 2.0
"""How soon a promotion is noticed: one tiny read."""

Database = AsyncDatabase[dict[str, Any]]


class ShownGroup:
    """Follows the readers' group while `run` runs. Everything that it holds is of one and the same group."""

    def __init__(
        self,
        configured: str,
        ask: Callable[[], Awaitable[str]],
        database: Callable[[str], Database],
        source: Callable[[Database, Callable[[], None]], LiveSource[LiveView]],
        reports: Callable[[Database], Reports],
    ) -> None:
        """`configured`: shown until MongoDB has answered. The last three make what belongs to a group."""
        self._ask = ask
        self._database_of = database
        self._make_source = source
        self._make_reports = reports
        self.changed: Callable[[], None] = lambda: None
        """Called after every change of the live numbers."""
        self._show(configured)

    def _show(self, name: str) -> None:
        self.name = name
        self.database = self._database_of(name)
        self.source = self._make_source(self.database, lambda: self.changed())
        self.reports = self._make_reports(self.database)

    async def run(self) -> None:
        """Keeps the live numbers fresh, and changes the group when another one is promoted. Until cancelled."""
        following = asyncio.create_task(self.source.run())
        try:
            while True:
                name = await self._asked()
                if name != self.name:
                    await _end(following)
                    self._show(name)
                    self.changed()
                    following = asyncio.create_task(self.source.run())
                await asyncio.sleep(ASK_S)
        finally:
            await _end(following)

    async def _asked(self) -> str:
        try:
            return await self._ask()
        except PyMongoError as error:
            log.debug("Which group is shown could not be read: %s", error)
            return self.name


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

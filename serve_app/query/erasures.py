"""Erasure of visitors inside the query replica: the first passes at once, the rest by the archive's job."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pistats.errors import RetryableError
from pistats.mongo.indexes import Database

if TYPE_CHECKING:
    from pistats.warehouse.erase import Eraser

log = logging.getLogger(__name__)

WAIT_S = 20.0
"""A caller waits this long for what can be removed at once; what takes longer goes on without it."""

PASSES = 2
"""The second one finds nothing any more, unless a partition's owner still has to forget the visitor."""


@dataclass(frozen=True, slots=True)
class Erased:
    """`removed`: documents and files that were rewritten or deleted. `complete`: nothing of the visitor is left."""

    erased_time: int
    removed: dict[str, int]
    complete: bool


class Erasures:
    """One pass at a time, whoever asks. Ending at any moment loses nothing: the tombstone is stored first."""

    def __init__(self, system: Database, eraser: "Callable[[], Awaitable[Eraser]]") -> None:
        self._system = system
        self._eraser = eraser
        self._passing = asyncio.Lock()
        self._running: set[asyncio.Task[tuple[dict[str, int], bool]]] = set()

    async def erase(self, site: str, visitor_id: str) -> Erased:
        """Hide the visitor for ever from this moment on, and remove what is stored. May be repeated."""
        from pistats.warehouse.erase import request_erasure

        tombstone = await request_erasure(self._system, site, visitor_id)
        task = asyncio.create_task(self._passes())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait({task}, timeout=WAIT_S)  # not cancelled with its caller
        removed, complete = task.result() if task.done() else ({}, False)
        return Erased(tombstone.erased_time, removed, complete)

    async def close(self) -> None:
        """End what is under way: the archive's job carries on with it."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _passes(self) -> tuple[dict[str, int], bool]:
        """What was removed, and whether the last pass found nothing any more."""
        total: Counter[str] = Counter()
        async with self._passing:
            eraser = await self._eraser()
            for _ in range(PASSES):
                try:
                    found = (await eraser.run()).values()
                except RetryableError as error:
                    log.info("an erasure goes on with the next archive: %s", error)
                    return dict(total), False
                for one in found:
                    total.update({name: count for name, count in asdict(one).items() if name != "waiting"})
                if all(one.nothing for one in found):
                    return dict(total), True
        return dict(total), False

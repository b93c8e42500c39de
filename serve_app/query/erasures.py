"""Erasure of visitors inside the query replica: the first passes at once, the rest by the archive's job."""

import asyncio
import logging
import time
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

PATIENCE_S = 6.0
"""So long passes are repeated until nothing is found. A partition's owner, who has to forget the visitor too, looks for
requests between two flushes: every two seconds when it is idle."""

PAUSE_S = 0.5
"""Between two passes that wait for an owner."""


@dataclass(frozen=True, slots=True)
class Erased:
    """`removed`: documents and files that were rewritten or deleted. `complete`: nothing of the visitor is left."""

    erased_time: int
    removed: dict[str, int]
    complete: bool


class Erasures:
    """One pass at a time, whoever asks. Ending at any moment loses nothing: the tombstone is stored first."""

    def __init__(
        self, system: Database, eraser: "Callable[[], Awaitable[Eraser]]", patience_s: float = PATIENCE_S
    ) -> None:
        self._system = system
        self._eraser = eraser
        self._patience_s = patience_s
        self._passing = asyncio.Lock()
        self._running: set[asyncio.Task[tuple[dict[str, int], bool]]] = set()

    async def erase(self, site: str, visitor_id: str) -> Erased:
        """Hide the visitor for ever, and remove what is stored. May be repeated: then it erases what has come since."""
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
            give_up = time.monotonic() + self._patience_s
            while True:
                try:
                    found = (await eraser.run()).values()
                except RetryableError as error:
                    log.info("an erasure goes on with the next archive: %s", error)
                    return dict(total), False
                for one in found:
                    total.update({name: count for name, count in asdict(one).items() if name != "waiting"})
                if all(one.nothing for one in found):
                    return dict(total), True
                if time.monotonic() > give_up:
                    return dict(total), False
                if all(one.only_waits for one in found):
                    await asyncio.sleep(PAUSE_S)

"""Removes files that nobody needs any more: replaced ones after a grace period, and what runs that died left behind."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pistats.clock import Clock, now_ms
from pistats.mongo.indexes import Database
from pistats.warehouse.ages import GARBAGE_MS
from pistats.warehouse.rollup_files import RollupStore
from pistats.warehouse.storage import ROLLUPS, Storage

ASKED_PATHS = 10_000
"""In one command: some 1.5 MB."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How many files were removed."""

    replaced: int
    garbage: int


class Sweep:
    """Deletes files of one group. May be repeated, by several at once, and end anywhere."""

    def __init__(
        self, group: Database, storage: Storage, group_name: str, *, grace_s: float, clock: Clock = now_ms
    ) -> None:
        """`grace_s`: how long a file stays after another has replaced it; longer than any query takes."""
        self._group = group
        self._storage = storage
        self._folders = (group_name, f"{ROLLUPS}/{group_name}")
        self._grace_ms = int(grace_s * 1000)
        self._clock = clock

    async def run(self) -> Swept:
        """Delete what may go by now."""
        return Swept(await self.replaced(), await self.garbage())

    async def replaced(self) -> int:
        """Delete the files whose grace period is over; how many.

        First the file, then its entry: an entry whose file is gone only means that this was interrupted.
        """
        until = datetime.fromtimestamp((self._clock() - self._grace_ms) / 1000, UTC)
        paths = [one["_id"] async for one in self._group["removed_files"].find({"removed_at": {"$lte": until}})]
        await asyncio.to_thread(self._storage.delete, paths)
        await self._group["removed_files"].delete_many({"_id": {"$in": paths}})
        return len(paths)

    async def garbage(self) -> int:
        """Delete the files of runs that died a day ago or earlier; how many. Looks at every file of the group.

        Files are listed before MongoDB is asked, so one that is published in between is not taken for garbage.
        """
        old = self._clock() - GARBAGE_MS
        stored = [file for folder in self._folders for file in await asyncio.to_thread(self._storage.list, folder)]
        paths = [file.path for file in stored if file.written_time < old]
        known = await RollupStore(self._group).paths() if paths else set()
        for start in range(0, len(paths), ASKED_PATHS):
            known |= await self._known(paths[start : start + ASKED_PATHS])
        garbage = sorted(set(paths) - known)
        await asyncio.to_thread(self._storage.delete, garbage)
        return len(garbage)

    async def _known(self, paths: Sequence[str]) -> set[str]:
        known = set()
        for collection in ("files", "removed_files"):
            known |= {
                one["_id"] async for one in self._group[collection].find({"_id": {"$in": list(paths)}}, {"_id": 1})
            }
        return known

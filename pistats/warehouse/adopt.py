"""What a replayed group cannot know: the events before its start, and imports, taken over from the group that is shown.

Streamed events go by date: those whose offset lies before the new group's start in their partition, each date in one
transaction with its mark in `adopted`. Imports go by site, all in one transaction with the list of imported units,
while no import runs; a group that was imported into by itself keeps what it has. Their visitors are handed to the
partitions' owners, who merge them: doing that twice changes nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from pistats.backfill.lock import ImportLock
from pistats.backfill.unit import visitor_days
from pistats.clock import Clock, now_ms
from pistats.consumer.requests import Request, Requests, merge_visitors
from pistats.errors import RetryableError
from pistats.identity import bucket_of
from pistats.mongo.indexes import Database
from pistats.mongo.sessions import transaction
from pistats.topology import Topology, load_topology
from pistats.visitors.calendar import LocalDays
from pistats.warehouse.ages import check_age
from pistats.warehouse.manifest import Manifest, Origin, WarehouseFile
from pistats.warehouse.rewrite import Merging
from pistats.warehouse.storage import Storage
from pistats.warehouse.tombstones import load_tombstones
from pistats.warehouse.writer import ALL_BUCKETS, FileWriter

REQUEST_VISITORS = 1_000
"""Of one request, as `merge_visitors` wants it."""

Keep = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True, slots=True)
class Adopted:
    """What a run has taken over. `own_imports`: sites whose imports the group already had some of; repeat theirs."""

    dates: int
    events: int
    own_imports: tuple[str, ...]


class Adoption:
    """Gives `target` the history of `source`. May be repeated, and end anywhere: every event is taken over once."""

    def __init__(
        self,
        system: Database,
        source: Database,
        target: Database,
        target_name: str,
        storage: Storage,
        run_id: str,
        clock: Clock = now_ms,
    ) -> None:
        self._system = system
        self._source = source
        self._target = target
        self._storage = storage
        self._writer = FileWriter(storage, target_name, run_id, clock)
        self._clock = clock

    async def run(self, on_date: Callable[[WarehouseFile], object] = lambda _: None) -> Adopted:
        """Take over what is missing. Raises RetryableError while one of the groups has not come far enough."""
        starts = await self._starts()
        await self._check_archived(starts)
        topology = await load_topology(self._system)
        dates: dict[tuple[str, str], list[WarehouseFile]] = defaultdict(list)
        imports: dict[str, list[WarehouseFile]] = defaultdict(list)
        for file in await Manifest(self._source).files():
            if file.origin == "import":
                imports[file.site].append(file)
            else:
                dates[file.site, file.date].append(file)
        adopted: list[WarehouseFile] = []
        for files in dates.values():
            new = await self._adopt_date(files, starts, topology)
            adopted += new
            for file in new:
                on_date(file)
        own = []
        for site in imports:
            if not await self._adopt_imports(site, topology, adopted):
                own.append(site)
        return Adopted(len({(file.site, file.date) for file in adopted}), sum(one.rows for one in adopted), tuple(own))

    async def _starts(self) -> dict[int, int]:
        """By partition, the first offset that the target consumes itself."""
        starts = {}
        async for partition in self._target["partitions"].find({}, {"start_offset": 1}):
            if partition.get("start_offset") is None:
                raise RetryableError(f"{self._target.name} has not begun in partition {partition['_id']}: wait for it.")
            starts[partition["_id"]] = partition["start_offset"]
        if not starts:
            raise RetryableError(f"{self._target.name} has not begun to consume: wait for it.")
        return starts

    async def _check_archived(self, starts: Mapping[int, int]) -> None:
        """Everything before the starts has to be in the source's files."""
        for partition, start in starts.items():
            consumed = await self._source["partitions"].find_one({"_id": partition}, {"offset": 1})
            if start and (consumed is None or (consumed["offset"] or 0) < start):
                raise RetryableError(f"{self._source.name} has not come to offset {start} of partition {partition}.")
            earlier = {"_id.partition": partition, "_id.first_offset": {"$lt": start}}
            if await self._source["chunks"].find_one(earlier, {"_id": 1}):
                raise RetryableError(f"{self._source.name} has events to archive first: pistats job archive --wait")

    async def _adopt_date(
        self, files: Sequence[WarehouseFile], starts: Mapping[int, int], topology: Topology
    ) -> list[WarehouseFile]:
        site, date = files[0].site, files[0].date
        mark = {"site": site, "date": date}
        if await self._target["adopted"].find_one({"_id": mark}):
            return []
        began = self._clock()
        new, visitors = await self._write(site, date, files, "stream", partial(_before, starts))

        async def publish(session: AsyncClientSession) -> None:
            await self._target["adopted"].insert_one({"_id": mark}, session=session)
            check_age(began, self._clock())
            await Manifest(self._target).add(new, session)

        await self._ask_owners(f"adopt:{site}:{date}", site, visitors, topology, began)
        with suppress(DuplicateKeyError):
            await transaction(self._target, publish)
            return new
        self._storage.delete(await Manifest(self._target).unlisted(new))
        return []

    async def _adopt_imports(self, site: str, topology: Topology, adopted: list[WarehouseFile]) -> bool:
        """All of a site's imports, or nothing. False: the target was imported into by itself."""
        mark = {"site": site, "imports": True}
        lock = ImportLock(self._system, site, self._clock)
        async with lock.hold():
            if await self._target["adopted"].find_one({"_id": mark}):
                return True
            if await self._target["imports"].find_one({"_id.site": site}):
                return False
            began = self._clock()
            units = await self._source["imports"].find({"_id.site": site}).to_list()
            by_date: dict[str, list[WarehouseFile]] = defaultdict(list)
            for file in await Manifest(self._source).files(site):
                if file.origin == "import":
                    by_date[file.date].append(file)
            new: list[WarehouseFile] = []
            for date, files in by_date.items():
                written, visitors = await self._write(site, date, files, "import", lambda rows: rows)
                await self._ask_owners(f"adopt-import:{site}:{date}", site, visitors, topology, began)
                new += written

            async def publish(session: AsyncClientSession) -> None:
                await lock.check(session)
                await self._target["adopted"].insert_one({"_id": mark}, session=session)
                check_age(began, self._clock())
                if units:
                    await self._target["imports"].insert_many(units, session=session)
                await Manifest(self._target).add(new, session)

            await transaction(self._target, publish)
            adopted += new
        return True

    async def _write(
        self, site: str, date: str, files: Sequence[WarehouseFile], origin: Origin, keep: Keep
    ) -> tuple[list[WarehouseFile], list[Sequence[Any]]]:
        """The kept rows as a file of the target (none if there are none), and the visitors in them."""
        tombstones = await load_tombstones(self._system, {site})
        merging = Merging(self._storage, files, tombstones)
        days = LocalDays(ZoneInfo(await self._timezone(site)))
        visitors: list[Sequence[Any]] = []

        def parts() -> Iterator[pa.Table]:
            for rows in merging.rows(ALL_BUCKETS):
                kept = keep(rows)
                visitors.extend([site, *visitor] for visitor in visitor_days(kept, days))
                yield kept

        try:
            file = await asyncio.to_thread(self._writer.write, site, date, ALL_BUCKETS, parts(), origin)
            merging.check()
        except FileNotFoundError as error:
            raise RetryableError(f"A file of {self._source.name} was replaced meanwhile: run it again.") from error
        return ([] if file is None else [file]), visitors

    async def _timezone(self, site: str) -> str:
        found = await self._system["sites"].find_one({"_id": site}, {"timezone": 1})
        return "UTC" if found is None else str(found["timezone"])

    async def _ask_owners(
        self, name: str, site: str, visitors: Sequence[Sequence[Any]], topology: Topology, known_time: int
    ) -> None:
        """Hand the visitors to the partitions that own them. Before the files are listed, and again after a death.

        `known_time`: before the tombstones were read, Unix ms.
        """
        by_partition: dict[int, list[Sequence[Any]]] = defaultdict(list)
        for visitor in visitors:
            by_partition[topology.partition_of(bucket_of(site, visitor[1]))].append(visitor)
        requests: list[Request] = [
            merge_visitors(
                f"{name}:{partition}:{first}", partition, of_one[first : first + REQUEST_VISITORS], known_time
            )
            for partition, of_one in sorted(by_partition.items())
            for first in range(0, len(of_one), REQUEST_VISITORS)
        ]
        await Requests(self._target, self._clock).add(requests)


def _before(starts: Mapping[int, int], rows: pa.Table) -> pa.Table:
    """The rows whose offset lies before their partition's start. A partition without one is consumed from its first."""
    if rows.num_rows == 0:
        return rows
    partitions = rows["partition"].to_numpy()
    limits = np.zeros(int(partitions.max()) + 1, np.int64)
    for partition, start in starts.items():
        if partition < len(limits):
            limits[partition] = start
    return rows.filter(pa.array(rows["offset"].to_numpy() < limits[partitions]))

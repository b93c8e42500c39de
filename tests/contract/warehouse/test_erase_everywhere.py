"""An id is planted in every place that can hold one, erased, and then looked for in every byte that is stored.

Two consumer groups, each with a partition's owner; events as chunks, as files, of counted days with and without their
events; dead letters of every kind; requests that wait or were put aside; the feed. Then the log is replayed.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from jobs.rollup import rollup
from pistats.clock import now_ms
from pistats.consumer.projection import Change
from pistats.consumer.requests import Requests, merge_visitors, redo_dead_letter
from pistats.consumer.work import VisitorMerge, Work
from pistats.jobs.arguments import JobArguments
from pistats.jobs.job import Job
from pistats.jobs.progress import Progress
from pistats.mongo.indexes import Database, ensure_group_indexes
from pistats.settings import Settings, WarehouseSettings
from pistats.sites import SiteStore
from pistats.topology import settle_topology
from pistats.visitors.erasures import spellings
from pistats.warehouse.ages import HOUR_MS
from pistats.warehouse.archive import Archive
from pistats.warehouse.chunk import decode_chunk
from pistats.warehouse.erase import Eraser, request_erasure
from pistats.warehouse.expire import Expiry
from pistats.warehouse.storage import Storage
from pistats.warehouse.sweep import Sweep
from pistats.warehouse.writer import FileWriter
from tests.contract.test_erase_by_owner import Owner
from tests.warehouse_events import DAY_MS, SITE

VISITOR = "ann$ 3\"'; -- \u202e\\"
OTHER = "bob"
FOUND = spellings(VISITOR)
DAYS = 6
KEEP_DAYS = 3


def record(received_time: int, visitor_id: str = VISITOR, **fields: Any) -> bytes:
    event = {"event_id": f"{visitor_id[:3]}{received_time}", "name": "page_view", "url": "https://example.com/"}
    return orjson.dumps({"site": SITE, "visitor_id": visitor_id, "received_time": received_time} | event | fields)


class StoringOwner(Owner):
    """One that stores what it leaves for the warehouse, too, and how many records it has dropped."""

    erased = 0

    async def _store(self, change: Change) -> Change:
        if change.chunks:
            await self._group["chunks"].insert_many(change.chunks)
        self.erased += sum(tally.erased for tally in change.ledger.values())
        return await super()._store(change)


class World:
    """A system with some consumer groups in it."""

    def __init__(self, system: Database, groups: dict[str, Database], root: str) -> None:
        self.system, self.groups, self.root = system, groups, root
        self.storage = Storage(root)
        self.owners = {name: StoringOwner(group, system) for name, group in groups.items()}
        self.log: list[bytes] = []

    async def consume(self, time: int, *payloads: bytes) -> None:
        self.log += payloads
        for owner in self.owners.values():
            owner.now = time
            await owner.consume(*payloads)

    async def archive(self) -> None:
        for name, group in self.groups.items():
            writer = FileWriter(self.storage, name, "run")
            await Archive(group, self.system, self.storage, writer, unit_events=1_000).run()

    async def count_days(self) -> None:
        settings = Settings(data=Path(self.root), warehouse=WarehouseSettings(root=self.root))
        for name, group in self.groups.items():
            await rollup(Job(settings, "", JobArguments(), "run", self.system, group, name, Progress()))

    async def erase(self) -> None:
        """Passes until nothing is found; the owners do what they are asked for."""
        for _ in range(3):
            removed = await Eraser(self.system, self.groups, self.storage, "erase").run()
            if all(one.nothing for one in removed.values()):
                return
            for name, owner in self.owners.items():
                owner.now = now_ms()
                requests = self.groups[name]["requests"]
                async for one in requests.find({"partition": 0}):
                    await owner.do(work_of(one))
                    await requests.delete_one({"_id": one["_id"]})
        pytest.fail(f"there is always something left: {removed}")

    async def sweep(self) -> None:
        for name, group in self.groups.items():
            await Sweep(group, self.storage, name, grace_s=60, clock=lambda: now_ms() + 26 * HOUR_MS).run()

    async def places(self) -> set[str]:
        """Where the id is: every file below the root and every document of every database, byte by byte."""
        found = await asyncio.to_thread(folders, Path(self.root))
        for name, database in {"system": self.system, **self.groups}.items():
            for collection in await database.list_collection_names():
                raw = database.get_collection(collection, CodecOptions(RawBSONDocument))
                async for document in raw.find():
                    chunk = decode_chunk(document["data"], document["schema"]) if collection == "chunks" else None
                    if in_bytes(document.raw) or (chunk is not None and in_table(pa.Table.from_batches([chunk]))):
                        found.add(f"{name}.{collection}")
        return found


def work_of(request: dict[str, Any]) -> Work:
    """What an owner makes of a request, as far as it is needed here."""
    if request["kind"] == "erase_visitor":
        return Work(erased=[(request["site"], request["visitor_id"])])
    known_time = request["known_time"]
    return Work(merged=[VisitorMerge(*one)._replace(known_time=known_time) for one in request["visitors"]])


def in_bytes(data: bytes) -> bool:
    return any(spelling in data for spelling in FOUND)


def in_table(table: pa.Table) -> bool:
    return any(VISITOR in str(value) for column in table.columns for value in column.to_pylist())


def folders(root: Path) -> set[str]:
    """Those of the groups that have a file with the id."""
    found = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and in_file(path)]
    return {path.split("/site=")[0] for path in found}


def in_file(path: Path) -> bool:
    return in_bytes(path.read_bytes()) or (path.suffix == ".parquet" and in_table(pq.read_table(path)))


@pytest.fixture
async def world(group: Database, system: Database, root: str) -> Any:
    shadow = group.client[f"{group.name}_shadow"]
    await ensure_group_indexes(shadow, 3_600)
    await settle_topology(system, 1)
    await SiteStore(system).add(SITE)
    yield World(system, {"live": group, "shadow": shadow}, root)
    await group.client.drop_database(shadow.name)


async def planted(world: World) -> int:
    """The visitor in every place, beside another one. The time of the last event."""
    noon = int(datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC).timestamp() * 1000) - DAY_MS // 2
    for day in range(DAYS):
        time = noon - (DAYS - 1 - day) * DAY_MS
        await world.consume(time, record(time, path=str(day)), record(time + 1, OTHER))
        await world.archive()
    await world.count_days()
    await world.system["sites"].update_one({"_id": SITE}, {"$set": {"keep_days": KEEP_DAYS}})
    for group in world.groups.values():
        assert (await Expiry(group, world.system).run()).files > 0
    await world.count_days()
    now = now_ms() - 5_000
    broken = record(now, name=7)
    await world.consume(now, record(now + 1), record(now + 2, OTHER), broken, broken[:-9], b"\xff" + broken)
    for group in world.groups.values():
        letter = {"append_minute": now, "created_at": datetime.now(UTC), "stage": "fold", "reason": "step_failed"}
        mended = {"payload": record(now, OTHER), "received": broken, "detail": ""}
        await group["dead_letters"].insert_one({"_id": {"partition": 0, "offset": 900}, **letter, **mended})
        other = {"payload": record(now, OTHER, name=7), "detail": ""}
        await group["dead_letters"].insert_one({"_id": {"partition": 0, "offset": 901}, **letter, **other})
        visitors = [[SITE, name, now, [now // DAY_MS]] for name in (OTHER, VISITOR)]
        requests = Requests(group)
        aside = merge_visitors("aside", 0, visitors, now)
        await requests.add([merge_visitors("waiting", 0, visitors, now), aside, redo_dead_letter(0, 901, broken)])
        await requests.put_aside([aside], f"ValueError: {visitors!r} {VISITOR}")
        await requests.put_aside([redo_dead_letter(0, 901, broken)], "TypeError")
    return now


PLACES = {"chunks", "dead_letters", "feed", "requests", "visitors"}


async def test_an_erased_id_is_in_no_byte_that_is_stored(world: World) -> None:
    now = await planted(world)
    groups = ("live", "shadow")
    files = {f"{folder}{name}" for name in groups for folder in ("", "_rollups/")}
    assert await world.places() == files | {f"{name}.{place}" for name in groups for place in PLACES}
    counted = {name: await group["minutes"].count_documents({}) for name, group in world.groups.items()}

    tombstone = await request_erasure(world.system, SITE, VISITOR)
    await world.erase()
    await world.sweep()

    only_the_tombstone = {"system.erasures"}
    assert await world.places() == only_the_tombstone
    for name, group in world.groups.items():
        assert await group["minutes"].count_documents({}) == counted[name], "numbers that name nobody stay"
        assert [one["_id"]["visitor_id"] async for one in group["visitors"].find()] == [OTHER]
        assert [one["_id"]["offset"] async for one in group["dead_letters"].find()] == [901], "of another visitor"
        (aside,) = await Requests(group).aside(3)
        assert [one[1] for one in (await Requests(group).of(aside["_id"]))[0]["visitors"]] == [OTHER]

    replayed = world.owners["shadow"]
    replayed.now = tombstone.erased_time  # when the log had it at the latest
    await replayed.consume(*world.log, record(now, name=7))
    assert await world.places() == only_the_tombstone
    assert replayed.erased == DAYS + 1 + 4, "also those that cannot be enriched"

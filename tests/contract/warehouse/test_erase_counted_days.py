"""An erased visitor is in no file of counted days, also where the events are gone that they were counted from."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from jobs.retention import retention
from jobs.rollup import rollup
from pistats.clock import now_ms
from pistats.jobs.arguments import JobArguments
from pistats.jobs.job import Job
from pistats.jobs.progress import Progress
from pistats.mongo.indexes import Database
from pistats.settings import Settings, WarehouseSettings
from pistats.sites import SiteStore
from pistats.topology import settle_topology
from pistats.visitors.retention import RetentionCells
from pistats.visitors.visitors import Visitors
from pistats.visitors.zones import LocalDays
from pistats.warehouse.ages import HOUR_MS, SETTLED_MS
from pistats.warehouse.erase import Eraser, request_erasure
from pistats.warehouse.expire import Expiry
from pistats.warehouse.rollup_files import Rollup, RollupStore
from pistats.warehouse.source import EventSource
from pistats.warehouse.sweep import Sweep
from tests.table_events import SITE, an_event
from tests.warehouse_events import ArchiveEvents, files_on_disk

VISITOR = "v3"
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
FIRST = YESTERDAY - timedelta(days=9)
KEEP_DAYS = 4
NOON_MS = 43_200_000


def day_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


class Counted:
    """A group whose last ten days were counted, and of which the first six have no events any more."""

    def __init__(self, group: Database, system: Database, source: EventSource, root: str, data: Path) -> None:
        self.group, self.system, self.root = group, system, root
        self.store, self.storage = RollupStore(group), source.storage
        self._settings = Settings(data=data, warehouse=WarehouseSettings(root=root))
        self.visitors = Visitors(0, lambda _: LocalDays(ZoneInfo("UTC")), 1_000)
        self.cells = RetentionCells(0)

    def job(self, *options: str) -> Job:
        arguments = JobArguments(options=options)
        return Job(self._settings, "", arguments, "run", self.system, self.group, "live", Progress())

    async def begin(self, archive: ArchiveEvents) -> None:
        await settle_topology(self.system, 1)
        await SiteStore(self.system).add(SITE)
        events = [
            an_event(number, event_time=time, received_time=time, visitor_id=f"v{number % 13}", path="/")
            for number in range(400)
            for time in [day_ms(FIRST + timedelta(days=number // 40)) + number % 40 * 1_300_000]
        ]
        await archive(events)
        self.visitors.fold([{**event} for event in events])
        await self.store_cells()
        await rollup(self.job())
        await self.system["sites"].update_one({"_id": SITE}, {"$set": {"keep_days": KEEP_DAYS}})
        assert (await Expiry(self.group, self.system).run()).files > 0
        await rollup(self.job())
        await self.group["rollups"].update_many({}, {"$inc": {"read_time": -60_000}})

    async def store_cells(self) -> None:
        self.cells.fold(self.visitors.changes())
        for one in self.cells.documents():
            await self.group["retention"].replace_one({"_id": one["_id"]}, one, upsert=True)

    def eraser(self, now: Callable[[], int] = now_ms) -> Eraser:
        return Eraser(self.system, {"live": self.group}, self.storage, "erase", clock=now)

    async def erase_until_nothing_is_found(self) -> None:
        """With a partition's owner that does what it is asked for."""
        for _ in range(3):
            if (await self.eraser().run())["live"].nothing:
                return
            tombstone = await self.system["erasures"].find_one()
            assert tombstone is not None
            self.visitors.erase(SITE, VISITOR, tombstone["erased_time"])
            await self.store_cells()
            await self.group["requests"].delete_many({})
        pytest.fail("there is always something left")

    async def sweep(self) -> None:
        await Sweep(self.group, self.storage, "live", grace_s=3_600, clock=lambda: now_ms() + 26 * HOUR_MS).run()

    async def days(self) -> dict[date, Rollup]:
        return await self.store.find(SITE, "day", FIRST, YESTERDAY)

    def ids(self) -> dict[str, set[str]]:
        """Whom each file on disk names, listed or not."""
        found = {}
        for path in files_on_disk(self.root):
            with (Path(self.root) / path).open("rb") as stream:
                file = pq.ParquetFile(stream)
                if "visitor_id" in file.schema_arrow.names:
                    found[path] = set(file.read(["visitor_id"])["visitor_id"].to_pylist())
        return found

    def sums(self, rollup: Rollup) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(Path(self.root) / rollup.sums_path).to_pylist()
        return rows


@pytest.fixture
async def counted(
    group: Database,
    system: Database,
    source: EventSource,
    root: str,
    tmp_path: Path,
    archive: ArchiveEvents,
) -> Counted:
    counted = Counted(group, system, source, root, tmp_path)
    await counted.begin(archive)
    return counted


async def test_no_file_of_a_counted_day_names_an_erased_visitor_and_all_that_was_counted_stays(
    counted: Counted,
) -> None:
    before = await counted.days()
    others = {f"v{number}" for number in range(13)} - {VISITOR}
    gone = [day for day in before if day <= YESTERDAY - timedelta(days=KEEP_DAYS)]
    assert len(gone) == 6
    assert {one.has_seen for one in before.values()} == {True, False}
    await request_erasure(counted.system, SITE, VISITOR)

    await counted.erase_until_nothing_is_found()

    after = await counted.days()
    assert after.keys() == before.keys()
    for day, one in after.items():
        assert (one.sums_path, one.digest, one.format) == (
            before[day].sums_path, before[day].digest, before[day].format,
        )  # fmt: skip
        assert one.visitors_path is not None
        assert counted.ids()[one.visitors_path] == others
    assert {row["visitors"] for day in gone for row in counted.sums(after[day]) if row["granularity"] == "day"} == {13}
    await rollup(counted.job())
    await counted.sweep()
    assert len(files_on_disk(counted.root)) > 20
    assert [path for path, ids in counted.ids().items() if VISITOR in ids] == []
    agreed = await retention(counted.job("--verify"))
    assert (agreed["differences"], agreed["different"]) == (0, [])


async def test_it_is_not_done_before_the_replaced_files_of_counted_days_are_deleted(counted: Counted) -> None:
    await request_erasure(counted.system, SITE, VISITOR, lambda: now_ms() - 10_000)
    await counted.erase_until_nothing_is_found()
    later = now_ms() + SETTLED_MS + HOUR_MS
    await counted.group["removed_files"].delete_many({"_id": {"$not": {"$regex": "^_rollups/"}}})

    await counted.eraser(lambda: later).run()
    assert await counted.system["erasures"].count_documents({"done_time": None}) == 1

    await counted.sweep()
    await counted.eraser(lambda: later).run()
    assert await counted.system["erasures"].count_documents({"done_time": later}) == 1


async def test_who_comes_back_stays_in_the_days_that_were_counted_since(
    counted: Counted, archive: ArchiveEvents
) -> None:
    tombstone = await request_erasure(counted.system, SITE, VISITOR, lambda: now_ms() - 10_000)
    await counted.erase_until_nothing_is_found()
    back = day_ms(YESTERDAY) + NOON_MS
    event = an_event(500, event_time=back, received_time=tombstone.erased_time + 1, visitor_id=VISITOR)
    await archive([event])
    await rollup(counted.job())

    assert (await counted.eraser().run())["live"].rollups == 0

    named = [day for day, one in (await counted.days()).items() if VISITOR in counted.ids()[str(one.visitors_path)]]
    assert named == [YESTERDAY]

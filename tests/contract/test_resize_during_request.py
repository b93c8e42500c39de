"""A visitor moves while the former owner commits what was asked of it: whoever comes first, nothing known is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import orjson
import pytest

from pistats.consumer.barrier import Barriers
from pistats.consumer.commit import Committer, Flush
from pistats.consumer.lease import LeaseStore
from pistats.consumer.requests import Requests, merge_visitors
from pistats.consumer.transform import Transform
from pistats.consumer.worker import PartitionConsumer
from pistats.identity import bucket_of, partition_of
from pistats.mongo.indexes import Database, ensure_group_indexes
from pistats.settings import ConsumerSettings, LiveSettings
from pistats.stream.batch import Fetched
from pistats.stream.frame import FrameTotals, FrameWriter
from pistats.topology import Change, Topology
from pistats.topology_cache import TopologyCache
from pistats.visitors.days import ActiveDays

SITE = "s"
DAY_MS = 86_400_000
TODAY = 20_000
"""Days since 1970-01-01."""
LAST_WEEK = TODAY - 7
ANN = next(name for name in map(str, range(100)) if partition_of(bucket_of(SITE, name), 2) == 1)
"""A visitor who moves from partition 0 to partition 1."""
RESIZED = Topology(2, 1, (Change(1, 1, 2, (0, 0), 1),))
TRANSFORM = Transform()


class Gate:
    """Holds a consumer's first commit of some kind back until it is opened."""

    def __init__(self, consumer: PartitionConsumer, kind: Callable[[Flush], bool], monkeypatch: pytest.MonkeyPatch):
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        self.done = asyncio.Event()
        committer: Committer = consumer._committer
        commit = committer.commit

        async def held(flush: Flush) -> None:
            if kind(flush):
                self.reached.set()
                await self.opened.wait()
            try:
                await commit(flush)
            finally:
                if self.opened.is_set():
                    self.done.set()

        monkeypatch.setattr(committer, "commit", held)


class System:
    """One group's consumers in this process, and the topology that they are told."""

    def __init__(self, group: Database) -> None:
        self.topology = Topology(1)
        self.frames: dict[int, bytes] = {}
        self._group = group

    def consumer(self, partition: int) -> PartitionConsumer:
        cache = TopologyCache(self._load, Topology(1))
        barriers = Barriers(partition, self._group, cache)
        return PartitionConsumer(
            partition,
            f"owner of {partition}",
            fetch=self._fetch,
            database=self._group,
            consumers=ConsumerSettings(flush_interval_s=0.02, pause_before_retry_s=0.02),
            live=LiveSettings(),
            transform=TRANSFORM,
            hold=barriers.held_from,
            cuts_passed=lambda: barriers.passed,
            settled=barriers.settled,
            owner_of=lambda site, visitor: cache.known.partition_of(bucket_of(site, visitor)),
        )

    async def _load(self) -> Topology:
        return self.topology

    async def _fetch(self, partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        if partition in self.frames and offset == 0:
            return Fetched([self.frames[partition]], 1, 1, 0, layout=self.topology.epoch)
        await asyncio.sleep(min(wait_s, 0.02))
        return Fetched([], offset, offset, None, layout=self.topology.epoch)


@asynccontextmanager
async def running(consumer: PartitionConsumer) -> AsyncIterator[None]:
    task = asyncio.create_task(consumer.run())
    try:
        yield
    finally:
        consumer.stop()
        await task


@pytest.fixture
async def system(database: Database) -> System:
    await ensure_group_indexes(database, 3_600)
    for partition in range(2):
        await LeaseStore(database, 30).declare(partition)
    return System(database)


def a_view() -> bytes:
    """A frame with one view of Ann's, today."""
    time = TODAY * DAY_MS + 1
    event = {"event_id": "e", "visitor_id": ANN, "name": "page_view", "url": "https://example.com/"}
    return FrameWriter(0, 1).encode(
        previous_crc=0,
        first_offset=0,
        append_time=time,
        hashes=np.zeros(1, dtype=np.uint64),
        keys=[b"k"],
        payloads=[orjson.dumps({"site": SITE, "received_time": time, **event})],
        batches=[(bytes(16), 1)],
        totals=FrameTotals(),
    )


async def known_of_ann(group: Database) -> tuple[int, list[int]]:
    """The first time, and the days."""
    visitor = await group["visitors"].find_one({"_id": {"site": SITE, "visitor_id": ANN}})
    assert visitor is not None
    days = ActiveDays.from_bytes(visitor["first_day"], visitor["days"])
    return visitor["first_time"], list(days)


async def daily_cohorts(group: Database) -> dict[str, int]:
    sizes: dict[str, int] = {}
    async for cell in group["retention"].find({"_id.granularity": "day"}):
        sizes[cell["_id"]["cohort"]] = sizes.get(cell["_id"]["cohort"], 0) + cell["size"]
    return {cohort: size for cohort, size in sizes.items() if size}


@pytest.mark.parametrize("new_owner", ["has committed", "has read the visitor"])
async def test_a_request_that_is_committed_while_its_visitor_moves_loses_nothing(
    new_owner: str, system: System, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    former, new = system.consumer(0), system.consumer(1)
    asked = Gate(former, lambda flush: bool(flush.requests), monkeypatch)
    seen = Gate(new, lambda flush: not flush.requests, monkeypatch)
    request = merge_visitors("import", 0, [[SITE, ANN, LAST_WEEK * DAY_MS, [LAST_WEEK]]], 1)
    await Requests(database).add([request])

    async with asyncio.timeout(60), running(former):
        await asked.reached.wait()
        system.topology, system.frames[1] = RESIZED, a_view()
        async with running(new):
            await seen.reached.wait()
            if new_owner == "has committed":
                seen.opened.set()
                while new.status.offset != 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            asked.opened.set()
            await asked.done.wait()
            seen.opened.set()
            while await database["requests"].count_documents({}):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    assert await known_of_ann(database) == (LAST_WEEK * DAY_MS, [LAST_WEEK, TODAY])
    assert sum((await daily_cohorts(database)).values()) == 1

"""Events a second of one consumer, and what each step of it costs.

    .venv/bin/python -m benchmarks.consumer             # figures
    .venv/bin/python -m benchmarks.consumer --profile   # where this process's time goes

The log is in memory, enrichment, buckets, mongod and transactions are real. "Of CPU" counts this process alone, so that
what else the machine does matters little; "of wall" includes the waits for mongod, which shares the cores.
"""

import asyncio
import cProfile
import pstats
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import bson
import numpy as np
import orjson

from benchmarks.figures import Figures, Result, Target
from benchmarks.part import arguments, run
from pistats.clock import now_ms
from pistats.consumer.chunks import chunk_documents
from pistats.consumer.commit import Committer, Flush
from pistats.consumer.lease import LeaseStore
from pistats.consumer.process import prepare_process
from pistats.consumer.reader import PartitionReader
from pistats.consumer.transform import Transform
from pistats.consumer.worker import PartitionConsumer
from pistats.enrich import STEPS, EnrichContext, EnrichedEvent, Failure
from pistats.enrich.event import open_event
from pistats.live.feed import LiveFeed
from pistats.live.fold import LiveBuckets
from pistats.mongo.client import connect
from pistats.mongo.indexes import Database, ensure_group_indexes
from pistats.mongo.server import MongodServer
from pistats.settings import ConsumerSettings, LiveSettings, MongoSettings
from pistats.simulate.traffic import Traffic
from pistats.stream.batch import Fetched
from pistats.stream.frame import FrameTotals, FrameWriter
from pistats.visitors.calendar import LocalDays
from pistats.visitors.retention import RetentionCells
from pistats.visitors.visitors import Visitors

FRAME_EVENTS = 250
"""What a group commit holds under load: a few requests of 50 events."""
STEP_EVENTS = 1_000
"""Of a flush, where single steps are measured."""


class MemoryLog:
    """A partition's frames, handed out as fast as they are asked for."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        writer = FrameWriter(0, 1)
        self.end = len(payloads)
        self._frames = [
            self._frame(writer, first, payloads[first : first + FRAME_EVENTS])
            for first in range(0, self.end, FRAME_EVENTS)
        ]

    @staticmethod
    def _frame(writer: FrameWriter, first: int, payloads: Sequence[bytes]) -> bytes:
        return writer.encode(
            previous_crc=0,
            first_offset=first,
            append_time=now_ms(),
            hashes=np.zeros(len(payloads), dtype=np.uint64),
            keys=[b"news.example\x1f%032d" % number for number in range(len(payloads))],
            payloads=payloads,
            batches=[(bytes(16), len(payloads))],
            totals=FrameTotals(),
        )

    async def fetch(self, partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:  # noqa: ARG002
        frames, at = list[bytes](), offset // FRAME_EVENTS
        while at < len(self._frames) and sum(map(len, frames)) < max_bytes:
            frames.append(self._frames[at])
            at += 1
        return Fetched(frames, min(at * FRAME_EVENTS, self.end), self.end, now_ms())


def stored_events(count: int, rate: float, seed: int) -> list[bytes]:
    """Stored events of a news site, as ingest writes them, `rate` a second of event time."""
    traffic = Traffic(Random(seed), rate=rate, visitors=20_000, site_url="https://news.example")
    start = now_ms() - int(1_000 * count / rate)
    payloads = []
    for number in range(count):
        received = start + int(1_000 * number / rate)
        head = {"site": "news.example", "received_time": received, "event_id": f"{number:032x}", "time": received - 80}
        payloads.append(orjson.dumps({**head, **traffic.next_event()}))
    return payloads


async def whole(database: Database, log: MemoryLog, consumers: ConsumerSettings, figures: Figures) -> None:
    """The real loop, from the first record to the last."""
    await ensure_group_indexes(database, 86_400)
    await LeaseStore(database, 30).declare(0)
    transform = Transform()
    prepare_process()
    consumer = PartitionConsumer(
        0,
        "benchmark",
        fetch=log.fetch,
        database=database,
        consumers=consumers,
        live=LiveSettings(),
        transform=transform,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    task = asyncio.create_task(consumer.run())
    while consumer.status.offset != log.end:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    consumer.stop()
    await task
    name = f"{log.end:,} events, flushes of {consumers.max_batch_events:,}"
    figures.add(name, log.end / cpu, "events/s of processor time", Target(">=", 8_000))
    figures.add(f"{name}: by the clock", log.end / wall, "events/s")
    assert consumer.status.failures == 0, consumer.status.last_error


class Stopwatch:
    """Microseconds of processor time per event, step by step."""

    def __init__(self, events: int, figures: Figures) -> None:
        self._events = events
        self._figures = figures
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self._figures.add(name, 1e6 * (now - self._last) / self._events, "µs an event")
        self._last = time.process_time()


async def steps(database: Database, log: MemoryLog, flush_events: int, figures: Figures) -> None:
    """The same work, one step at a time over all events, so that each has its own figure."""
    context = EnrichContext.standard()
    reader = PartitionReader(log.fetch, 0, 0, max_events=log.end, flush_interval_s=0)
    watch = Stopwatch(log.end, figures)
    records = await reader.next()
    assert records is not None
    watch.lap("decode frames")
    opened = [open_event(payload, 0, number) for number, payload in enumerate(records.payloads)]
    events: list[EnrichedEvent] = [event for event in opened if not isinstance(event, Failure)]
    watch.lap("open")
    for name, step in STEPS:
        for event in events:
            step(event, context)
        watch.lap(f"enrich: {name}")
    await commits(database, log, projected(events, flush_events, figures), figures)


class Laps:
    """CPU seconds by the name of what was done."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = time.process_time()

    def show(self, events: int, figures: Figures) -> None:
        for name, seconds in self.seconds.items():
            figures.add(name, 1e6 * seconds / events, "µs an event")


def projected(
    events: Sequence[EnrichedEvent], flush_events: int, figures: Figures
) -> list[dict[str, list[dict[str, Any]]]]:
    """What each flush writes, by collection, and what it costs to find that out."""
    zone = LocalDays(ZoneInfo("Asia/Kolkata"))
    visitors, cells = Visitors(0, lambda _: zone, keep=20_000), RetentionCells(0)
    buckets, feed = LiveBuckets(0), LiveFeed(0)
    now = datetime.fromtimestamp(now_ms() / 1000, UTC)
    flushes, laps = [], Laps()
    for start in range(0, len(events), flush_events):
        range_ = events[start : start + flush_events]
        visitors.missing(range_)
        visitors.fold(range_)
        laps.lap("visitors: sessions, days")
        changes = visitors.changes()
        cells.missing(changes)
        cells.fold(changes)
        laps.lap("retention cells")
        buckets.missing(range_)
        buckets.fold(range_)
        laps.lap("fold into minutes")
        feed.fold(range_)
        laps.lap("feed")
        chunks = chunk_documents(range_, [0] * len(range_), now)
        laps.lap("chunk")
        flush = {"visitors": visitors.documents(), "retention": cells.documents()}
        laps.lap("documents: visitors, cells")
        flush |= {"minutes": buckets.documents(), "feed": feed.documents(), "chunks": chunks}
        laps.lap("documents: minutes, feed")
        flushes.append(flush)
        for view in (visitors, cells, buckets, feed):
            view.committed()
        laps.lap("forget what is old")
    laps.show(len(events), figures)
    return flushes


async def commits(
    database: Database, log: MemoryLog, flushes: Sequence[dict[str, list[dict[str, Any]]]], figures: Figures
) -> None:
    """The transactions alone: of everything, then of everything but the visitors."""
    await ensure_group_indexes(database, 86_400)
    leases = LeaseStore(database, 600)
    for partition, left_out in enumerate(("", "visitors", "chunks")):
        await leases.declare(partition)
        lease = await leases.acquire(partition, "benchmark")
        assert lease is not None
        await leases.renew(lease, fields={"offset": 0})
        committer, walls = Committer(database, leases, timeout_s=60), []
        cpu = time.process_time()
        for number, flush in enumerate(flushes):
            documents = {name: found for name, found in flush.items() if name not in ("chunks", left_out)}
            chunks = [] if left_out == "chunks" else flush["chunks"]
            for chunk in chunks:
                chunk["_id"]["partition"] = partition
            at = time.perf_counter()
            await committer.commit(Flush(lease, number, number + 1, now_ms(), False, documents, chunks))
            walls.append(time.perf_counter() - at)
        cpu = time.process_time() - cpu
        await committer.close()
        walls.sort()
        name = f"commit, without {left_out}" if left_out else "commit"
        figures.add(name, 1e6 * cpu / log.end, "µs an event")
        figures.add(f"{name}: median of one", 1e3 * walls[len(walls) // 2], "ms")
        figures.add(f"{name}: longest", 1e3 * walls[-1], "ms")
    for name, found in flushes[-1].items():
        figures.add(f"{name} of a flush", len(found), "documents")
        figures.add(f"{name}: one", sum(len(bson.encode(one)) for one in found) / max(1, len(found)), "bytes")


def measure(events: int = 60_000, rate: float = 1_000, seed: int = 1, profile: bool = False) -> Result:
    """All figures; with `profile` those of the profiled loop, which mean little."""
    return asyncio.run(_measure(events, rate, seed, profile))


async def _measure(events: int, rate: float, seed: int, profile: bool) -> Result:
    log, figures = MemoryLog(stored_events(events, rate, seed)), Figures("consumer")
    with tempfile.TemporaryDirectory() as directory:
        server = MongodServer(Path(directory), MongoSettings(cache_mb=256))
        uri = await asyncio.to_thread(server.start)
        try:
            async with connect(uri) as client:
                if profile:
                    profiler = cProfile.Profile()
                    profiler.enable()
                    await whole(client["profiled"], log, ConsumerSettings(), figures)
                    profiler.disable()
                    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
                    return figures.result()
                for flush_events in (5_000, 500):
                    consumers = ConsumerSettings(max_batch_events=flush_events)
                    await whole(client[f"whole_{flush_events}"], log, consumers, figures)
                await steps(client["steps"], log, STEP_EVENTS, figures)
        finally:
            await asyncio.to_thread(server.stop)
    return figures.result()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--rate", type=float, default=1_000, help="events per second of event time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="cProfile of the whole loop instead of figures")
    chosen = parser.parse_args()
    run(lambda: measure(chosen.events, chosen.rate, chosen.seed, chosen.profile), keep=chosen.save)


if __name__ == "__main__":
    main()

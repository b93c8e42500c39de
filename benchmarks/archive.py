"""A day from the outbox into the warehouse: archive, rollup of its hours and itself, compaction; what many files cost.

    .venv/bin/python -m benchmarks.archive                        # the seed's day of 10 million events
    .venv/bin/python -m benchmarks.archive --events 1000000

The chunks are those that consumers commit at 500 events/s: 250 simulated events of a news site each, 128-bit ids.
mongod, transactions and fsync are real. The rollup's units are counted by two processes, whose start counts, too.
Processor time and memory are without mongod's.
"""

import asyncio
import multiprocessing
import os
import secrets
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from bson import Binary
from xxhash import xxh3_64_hexdigest

from benchmarks.cost import Cost, measured
from benchmarks.figures import Figures, Result, Target
from benchmarks.part import arguments, run
from pistats.enrich import EnrichContext, enrich_batch, enriched_only
from pistats.mongo.client import connect
from pistats.mongo.indexes import Database, ensure_group_indexes, ensure_system_indexes
from pistats.mongo.server import MongodServer
from pistats.settings import MongoSettings, WarehouseSettings
from pistats.simulate.traffic import Traffic
from pistats.sites import Site
from pistats.warehouse.archive import Archive
from pistats.warehouse.chunk import encode_chunk, events_to_batch
from pistats.warehouse.compact import Compaction
from pistats.warehouse.manifest import Manifest
from pistats.warehouse.periods import days_of
from pistats.warehouse.rollup import Rollups, count_unit
from pistats.warehouse.rollup_files import RollupStore
from pistats.warehouse.source import EventSource
from pistats.warehouse.storage import Storage
from pistats.warehouse.writer import DAY_MS, FileWriter

SITE = "news.example"
CHUNK_EVENTS = 250
DAY_EVENTS = 10_000_000
SAMPLE_EVENTS = 400_000
"""Enriched for real; a longer day repeats them with new ids, as other visitors, in other hours."""
SAMPLE_MS = DAY_MS * SAMPLE_EVENTS // DAY_EVENTS
RATE = DAY_EVENTS / 86_400
"""Events a second of the seed's day."""
PROCESSES = 2
SUNDAY = 6
NIGHT_MS = 2 * 3_600_000
MANY_FILES = 400


def sample(count: int, start_ms: int) -> pa.Table:
    """Enriched events of a news site, with their sessions."""
    context = EnrichContext.standard()
    traffic = Traffic(Random(7), rate=RATE, visitors=200_000, site_url="https://news.example")
    batches = []
    for first in range(0, count, 5_000):
        records = []
        for _ in range(min(5_000, count - first)):
            event = traffic.next_event()
            at = start_ms + int(traffic.now_ms)
            event |= {"site": SITE, "event_id": secrets.token_hex(16), "time": at, "sent_at": at + 20}
            records.append(orjson.dumps({**event, "received_time": at + 35}))
        events = enriched_only(enrich_batch(records, 0, range(first, first + len(records)), context))
        for event in events:  # about one session per visitor and hour: what matters here is how it compresses
            hour = event["event_time"] // 3_600_000
            event["session_id"] = xxh3_64_hexdigest(f"{event['visitor_id']}{hour}".encode())
        batches.append(events_to_batch(events))
    return pa.Table.from_batches(batches).combine_chunks()


def repeated(events: pa.Table, number: int) -> pa.Table:
    """The same traffic by other visitors, right behind it; the first time as it is."""
    if number == 0:
        return events
    count = events.num_rows
    columns = {name: events[name] for name in events.column_names}
    columns["event_id"] = pa.array([secrets.token_hex(16) for _ in range(count)])
    columns["visitor_id"] = pc.replace_substring_regex(columns["visitor_id"], "^.{4}", f"{number:04x}")
    columns["session_id"] = pc.replace_substring_regex(columns["session_id"], "^.{4}", f"{number:04x}")
    columns["offset"] = pc.add(columns["offset"], number * count)
    for name in ("time", "sent_at", "received_time", "event_time"):
        columns[name] = pc.add(columns[name], SAMPLE_MS * number)
    return pa.table(columns, schema=events.schema)


async def fill_outbox(group: Database, events: int, start_ms: int) -> int:
    """Chunks of so many events; the bytes of their data."""
    table, size, made = sample(min(events, SAMPLE_EVENTS), start_ms), 0, 0
    created = datetime.now(UTC) - timedelta(hours=3)
    while made < events:
        part = repeated(table, made // table.num_rows).slice(0, events - made)
        documents: list[dict[str, Any]] = []
        for first in range(0, part.num_rows, CHUNK_EVENTS):
            batch = part.slice(first, CHUNK_EVENTS).combine_chunks().to_batches()[0]
            times = batch.column("event_time").to_numpy()
            data = encode_chunk(batch)
            size += len(data)
            documents.append(
                {
                    "_id": {"partition": 0, "first_offset": made + first},
                    "end_offset": made + first + batch.num_rows,
                    "events": batch.num_rows,
                    "schema": 1,
                    "sites": [SITE],
                    "min_event_time": int(times.min()),
                    "max_event_time": int(times.max()),
                    "minutes": [[int(times.max()) // 60_000 * 60_000, batch.num_rows]],
                    "data": Binary(data),
                    "created_at": created + timedelta(microseconds=made + first),
                }
            )
        for first in range(0, len(documents), 1_000):
            await group["chunks"].insert_many(documents[first : first + 1_000], ordered=False)
        made += part.num_rows
    return size


async def count_events(source: EventSource, threads: int = 2) -> tuple[int, float, float]:
    """Events of the site; seconds to find the files, and to open them and read one column."""
    began = time.perf_counter()
    found = await source.events(SITE, 0, 2**60)
    listed = time.perf_counter()
    with duckdb.connect(config={"threads": threads}) as connection:
        found.register(connection)
        (count,) = connection.sql("SELECT sum(length(name)) // avg(length(name)) FROM events").fetchall()[0]
    return round(count), listed - began, time.perf_counter() - listed


async def bench(group: Database, system: Database, folder: Path, events: int, figures: Figures) -> None:
    """The way of a day."""
    day = a_day()
    start_ms = days_of(day) * DAY_MS
    chunk_bytes = await fill_outbox(group, events, start_ms)
    figures.add(f"chunks, of {CHUNK_EVENTS} events", chunk_bytes / events, "bytes an event")
    root = str(folder / "warehouse")
    storage = Storage(root)
    writer = FileWriter(storage, "live", "benchmark")
    unit_events = WarehouseSettings().archive_unit_events
    with measured() as archive:
        done = await Archive(group, system, storage, writer, unit_events=unit_events).run()
    assert done.events == events
    show(figures, f"archive of {events:,} events", archive, events)
    figures.add("archive: files", done.files, "files")
    figures.add("archive: on disk", done.bytes / events, "bytes an event", Target("<=", 45))
    with measured() as rollup:
        await roll_up(group, EventSource(group, system, root), storage, day)
    show(figures, "rollup of the day and its hours", rollup, events)
    target = Target("<=", 60) if events >= DAY_EVENTS else None
    figures.add("archive and rollup", archive.wall_s + rollup.wall_s, "s", target)
    with measured() as compaction:
        compacted = await Compaction(group, system, storage, writer).run()
    if compacted.rewrites:  # one file alone stays as it is
        show(figures, "compaction", compaction, events)
        files = await Manifest(group).files(SITE)
        figures.add("compaction: files", len(files), "files")
        on_disk = sum(file.bytes for file in files)
        figures.add("compaction: on disk", on_disk / events, "bytes an event", Target("<=", 45))
    count, _, read = await count_events(EventSource(group, system, root))
    assert count == events
    figures.add("read a column of all of it", read, "s")


def show(figures: Figures, name: str, cost: Cost, events: int) -> None:
    figures.add(name, cost.wall_s, "s")
    figures.add("  events by the clock", events / cost.wall_s, "events/s")
    figures.add("  processor", cost.cpu_s / events * 1e6, "µs an event")
    figures.add("  memory beyond the process's own", cost.peak_mb, "MB")


def a_day() -> date:
    """A day that is over, so that its files are compacted as closed, and is not the last one of a week or a month."""
    day = datetime.now(UTC).date() - timedelta(days=5)
    while day.weekday() == SUNDAY or (day + timedelta(days=1)).day == 1:
        day -= timedelta(days=1)
    return day


def print_nothing() -> None:
    """For a process of a pool: DuckDB takes it for a terminal, and draws progress bars."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


async def roll_up(group: Database, source: EventSource, storage: Storage, day: date) -> None:
    """As the job does it in the night after the day: week and month are not over yet."""
    that_night = (days_of(day) + 1) * DAY_MS + NIGHT_MS
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"), initializer=print_nothing) as pool:
        rollups = Rollups(
            RollupStore(group), source, storage, "live", "benchmark",
            clock=lambda: that_night, count=lambda units: list(pool.map(count_unit, units)),
        )  # fmt: skip
        site = Site(SITE, "UTC", "", "", (), True, 0)
        assert await rollups.run(site, [day]) == 1


async def bench_many_files(group: Database, system: Database, folder: Path, figures: Figures) -> None:
    """What 400 small files cost a reader: a day and a half of five-minute archives before compaction."""
    await fill_outbox(group, MANY_FILES * 1_000, days_of(a_day()) * DAY_MS)
    root = str(folder / "many")
    storage = Storage(root)
    archive = Archive(group, system, storage, FileWriter(storage, "live", "many"), unit_events=1_000)
    await archive.run()
    source = EventSource(group, system, root)
    for turn in ("first", "again"):
        count, listed, read = await count_events(source)
        figures.add(f"{MANY_FILES} files, {count:,} events: list, {turn}", listed * 1000, "ms")
        figures.add(f"{MANY_FILES} files: open and read a column, {turn}", read * 1000, "ms")
    await Compaction(group, system, storage, FileWriter(storage, "live", "many")).run()
    _, _, read = await count_events(source)
    figures.add("the same after compaction: read", read * 1000, "ms")


def measure(events: int = DAY_EVENTS) -> Result:
    """All figures."""
    return asyncio.run(_measure(events))


async def _measure(events: int) -> Result:
    figures = Figures("archive")
    with tempfile.TemporaryDirectory() as folder:
        server = MongodServer(Path(folder) / "mongod", MongoSettings())
        server.start()
        client = connect(server.uri)
        try:
            await ensure_system_indexes(client["system"])
            for name in ("day", "many"):
                await ensure_group_indexes(client[name], 3_600)
            await bench(client["day"], client["system"], Path(folder), events, figures)
            await bench_many_files(client["many"], client["system"], Path(folder), figures)
        finally:
            await client.close()
            server.stop()
    return figures.result()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--events", type=int, default=DAY_EVENTS)
    chosen = parser.parse_args()
    run(lambda: measure(chosen.events), keep=chosen.save)


if __name__ == "__main__":
    main()

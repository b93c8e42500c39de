"""A day's events from the outbox into the warehouse: archive, compaction, bytes an event, what many files cost.

    .venv/bin/python -m benchmarks.archive                        # a million events
    .venv/bin/python -m benchmarks.archive --events 10000000      # the seed's day

The chunks are those that consumers commit at 500 events/s: 250 simulated events of a news site each, 128-bit ids.
mongod, transactions and fsync are real. "CPU" is this process's.
"""

import argparse
import asyncio
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import orjson
import psutil
import pyarrow as pa
import pyarrow.compute as pc
from bson import Binary
from xxhash import xxh3_64_hexdigest

from pistats.enrich import EnrichContext, enrich_batch, enriched_only
from pistats.mongo.client import connect
from pistats.mongo.indexes import Database, ensure_group_indexes, ensure_system_indexes
from pistats.mongo.server import MongodServer
from pistats.settings import MongoSettings, WarehouseSettings
from pistats.simulate.traffic import Traffic
from pistats.warehouse.archive import Archive
from pistats.warehouse.chunk import encode_chunk, events_to_batch
from pistats.warehouse.compact import Compaction
from pistats.warehouse.source import EventSource
from pistats.warehouse.storage import Storage
from pistats.warehouse.writer import DAY_MS, FileWriter

SITE = "news.example"
CHUNK_EVENTS = 250
SAMPLE_EVENTS = 400_000
"""Enriched for real; a longer day repeats them with new ids, as other visitors, at other times."""
RATE = 115
"""Events a second of the seed's day of 10 million."""
MANY_FILES = 400


@dataclass(slots=True)
class Cost:
    """Of one step."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0


@contextmanager
def measured() -> Iterator[Cost]:
    """Wall, processor time and the highest memory of this process beyond what it had before."""
    process, cost, ended = psutil.Process(), Cost(), threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not ended.wait(0.01):
            cost.peak_bytes = max(cost.peak_bytes, process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield cost
    finally:
        cost.wall_s, cost.cpu_s = time.perf_counter() - wall, time.process_time() - cpu
        ended.set()
        watcher.join()


def line(name: str, value: float, unit: str) -> None:
    print(f"{name:<44}{value:>14,.2f} {unit}", flush=True)


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
    """The same day's traffic by other visitors, a little later; the first time as it is."""
    if number == 0:
        return events
    count = events.num_rows
    columns = {name: events[name] for name in events.column_names}
    columns["event_id"] = pa.array([secrets.token_hex(16) for _ in range(count)])
    columns["visitor_id"] = pc.replace_substring_regex(columns["visitor_id"], "^.{4}", f"{number:04x}")
    columns["session_id"] = pc.replace_substring_regex(columns["session_id"], "^.{4}", f"{number:04x}")
    columns["offset"] = pc.add(columns["offset"], number * count)
    for name in ("time", "sent_at", "received_time", "event_time"):
        columns[name] = pc.add(columns[name], 137 * number)
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


async def bench(group: Database, system: Database, folder: Path, events: int) -> None:
    start_ms = (int(time.time() * 1000) // DAY_MS - 5) * DAY_MS
    chunk_bytes = await fill_outbox(group, events, start_ms)
    line("chunks, of 250 events", chunk_bytes / events, "bytes an event")
    root = str(folder / "warehouse")
    storage = Storage(root)
    writer = FileWriter(storage, "live", "benchmark")
    unit_events = WarehouseSettings().archive_unit_events
    with measured() as cost:
        done = await Archive(group, system, storage, writer, unit_events=unit_events).run()
    line("archive", done.events / cost.wall_s, "events/s")
    line("archive, CPU", cost.cpu_s / done.events * 1e6, "µs an event")
    line("archive, memory", cost.peak_bytes / 1e6, "MB beyond the process's own")
    line("archive, files", done.files, "files")
    line("archive, on disk", done.bytes / done.events, "bytes an event")
    with measured() as cost:
        compacted = await Compaction(group, system, storage, writer).run()
    if compacted.rewrites:
        line("compaction", events / cost.wall_s, "events/s")
        line("compaction, CPU", cost.cpu_s / events * 1e6, "µs an event")
        line("compaction, memory", cost.peak_bytes / 1e6, "MB beyond the process's own")
        line("compaction, files", compacted.files_after, "files")
        line("compaction, on disk", compacted.bytes_after / events, "bytes an event")
    count, _, read = await count_events(EventSource(group, system, root))
    line(f"read {count:,} events, few files", read, "s")


async def bench_many_files(group: Database, system: Database, folder: Path) -> None:
    """What 400 small files cost a reader: a day and a half of five-minute archives before compaction."""
    await fill_outbox(group, MANY_FILES * 1_000, (int(time.time() * 1000) // DAY_MS - 5) * DAY_MS)
    root = str(folder / "many")
    storage = Storage(root)
    archive = Archive(group, system, storage, FileWriter(storage, "live", "many"), unit_events=1_000)
    await archive.run()
    source = EventSource(group, system, root)
    for turn in ("first", "again"):
        count, listed, read = await count_events(source)
        line(f"{MANY_FILES} files, {count:,} events: list, {turn}", listed * 1000, "ms")
        line(f"{MANY_FILES} files: open and read a column, {turn}", read * 1000, "ms")
    await Compaction(group, system, storage, FileWriter(storage, "live", "many")).run()
    _, _, read = await count_events(source)
    line("the same after compaction: read", read * 1000, "ms")


async def main(events: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = MongodServer(Path(folder) / "mongod", MongoSettings())
        server.start()
        client = connect(server.uri)
        try:
            await ensure_system_indexes(client["system"])
            for name in ("day", "many"):
                await ensure_group_indexes(client[name], 3_600)
            await bench(client["day"], client["system"], Path(folder), events)
            await bench_many_files(client["many"], client["system"], Path(folder))
        finally:
            await client.close()
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    asyncio.run(main(parser.parse_args().events))

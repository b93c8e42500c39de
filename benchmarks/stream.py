"""How fast one partition's log appends, reads, starts and looks up duplicates, beside what the disk itself can do.

python -m benchmarks.stream [--records 1000000] [--window 10000000] [--directory DIR] [--mongodb-uri URI]
"""

import argparse
import itertools
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pymongo import MongoClient

from pistats.settings import StreamSettings
from pistats.stream import frame
from pistats.stream.batch import Batch
from pistats.stream.dedupe import DedupeIndex
from pistats.stream.file_log import FileLog
from pistats.stream.log import StreamLog
from pistats.stream.mongo_log import MongoLog
from pistats.stream.verify import verify

SETTINGS = StreamSettings(disk_high_water=1.0)
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
Figures = dict[str, Any]


def main() -> None:
    """Run everything and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="records for the append and read rates")
    parser.add_argument("--window", type=int, default=10_000_000, help="records in the dedupe window for the start")
    parser.add_argument("--directory", type=Path, default=None, help="where to write (default: a temporary directory)")
    parser.add_argument("--mongodb-uri", default=None, help="also measure the log in this MongoDB")
    options = parser.parse_args()
    print(json.dumps(run(options.records, options.window, options.directory, options.mongodb_uri), indent=2))


def run(records: int, window: int, parent: Path | None = None, mongodb_uri: str | None = None) -> Figures:
    """All figures, by name. Writes about 100 bytes a record below `parent` and removes them again."""
    directory = Path(tempfile.mkdtemp(prefix="pistats-bench-", dir=parent))
    try:
        figures: Figures = {"disk": disk_rates(directory)}
        for size in (1, 10, 100, 1_000):
            count = min(records, size * 5_000)
            with_size = directory / f"batches-of-{size}"
            figures[f"append_batches_of_{size}"] = append_rate(FileLog.open(with_size, 0, SETTINGS), size, count)
        log = FileLog.open(directory / "read", 0, SETTINGS)
        figures["append"] = append_rate(log, 100, records)
        figures["read"] = read_rate(log)
        figures["duplicates"] = duplicate_rate(log)
        log.close()
        if window:
            figures["start"] = start_time(directory / "window", window)
        if mongodb_uri:
            figures["mongo"] = mongo_rates(mongodb_uri, records // 10)
        figures["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return figures
    finally:
        shutil.rmtree(directory)


def disk_rates(directory: Path) -> Figures:
    """What the disk gives: one append of 5 kB with one fdatasync, again and again."""
    path = directory / "fdatasync"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    spent = []
    for _ in range(1_000):
        start = time.perf_counter()
        os.write(fd, bytes(5_000))
        os.fdatasync(fd)
        spent.append(time.perf_counter() - start)
    os.close(fd)
    return {"fdatasync_per_s": round(1_000 / sum(spent)), "p50_ms": ms(statistics.median(spent)), "p99_ms": p99(spent)}


def batches(size: int) -> Iterator[Batch]:
    """Batches of made-up page views, about 330 bytes each."""
    for number in itertools.count():
        ids = [os.urandom(16).hex() for _ in range(size)]
        payloads = [
            orjson.dumps(
                {
                    "site": "news", "received_time": 1_790_000_000_000 + number, "ip": "203.0.113.0",
                    "user_agent": AGENT, "event_id": event_id, "visitor_id": event_id[:16], "name": "page_view",
                    "url": f"https://news.example/sport/article-{number % 977}", "title": f"Article {number % 977}",
                }
            )
            for event_id in ids
        ]  # fmt: skip
        yield Batch(os.urandom(16), [b"news\x1f" + event_id.encode() for event_id in ids], payloads)


def append_rate(log: StreamLog, size: int, records: int) -> Figures:
    """One caller that waits for each batch: a frame and a sync each."""
    spent: list[float] = []
    processor_s = 0.0
    source = batches(size)
    while len(spent) * size < records:
        ready = list(itertools.islice(source, max(1, 50_000 // size)))
        processor_s -= time.process_time()
        for batch in ready:
            start = time.perf_counter()
            log.append([batch])
            spent.append(time.perf_counter() - start)
        processor_s += time.process_time()
    stored = log.stats()
    return {
        "records_per_s": round(len(spent) * size / sum(spent)),
        "processor_us_per_record": round(processor_s / (len(spent) * size) * 1e6, 2),
        "appends_per_s": round(len(spent) / sum(spent)),
        "p50_ms": ms(statistics.median(spent)),
        "p99_ms": p99(spent),
        "longest_ms": ms(max(spent)),
        "bytes_per_record": round(stored.bytes_on_disk / stored.end_offset, 1),
    }


def read_rate(log: StreamLog) -> Figures:
    """Sequential reads of 1 MB from the page cache: raw, and decoded to records and to columns."""
    return {
        "raw_records_per_s": scan(log, lambda _: None),
        "columns_records_per_s": scan(log, frame.columns),
        "decoded_records_per_s": scan(log, frame.decode),
    }


def scan(log: StreamLog, use: Callable[[bytes], object]) -> int:
    """Records a second from the first to the last."""
    start = time.perf_counter()
    offset = log.first_offset
    while offset < log.end_offset:
        fetched = log.read(offset, 1_000_000)
        for encoded in fetched.frames:
            use(encoded)
        offset = fetched.next_offset
    return round((offset - log.first_offset) / (time.perf_counter() - start))


def duplicate_rate(log: StreamLog) -> Figures:
    """Batches that were stored before, under new batch ids: every hit is confirmed against the stored key."""
    known = list(itertools.islice(batches(100), 200))
    log.append(known)
    start = time.perf_counter()
    for batch in known:
        log.append([Batch(os.urandom(16), batch.keys, batch.payloads)])
    return {"records_per_s": round(100 * len(known) / (time.perf_counter() - start))}


def start_time(directory: Path, records: int) -> Figures:
    """Fill a log, then start it as after a crash; also without its index files."""
    log = FileLog.open(directory, 0, SETTINGS)
    source = batches(100)
    while log.end_offset < records:
        log.append(list(itertools.islice(source, 100)))
    last = append_rate(log, 100, 100_000)
    figures: Figures = {
        "records": log.end_offset,
        "append_records_per_s_with_full_window": last["records_per_s"],
        "append_p99_ms_with_full_window": last["p99_ms"],
        "segments": log.stats().segments,
        "bytes_on_disk": log.stats().bytes_on_disk,
    }
    del log  # not closed
    start = time.perf_counter()
    log = FileLog.open(directory, 0, SETTINGS)
    figures["start_s"] = round(time.perf_counter() - start, 2)
    stats = log.stats()
    figures["dedupe_bytes_per_id"] = round(stats.dedupe_bytes / stats.dedupe_ids, 1)
    figures["dedupe_mb"] = round(stats.dedupe_bytes / 1e6, 1)
    log.close()
    for index in directory.glob("*.index"):
        index.unlink()
    start = time.perf_counter()
    FileLog.open(directory, 0, SETTINGS).close()
    figures["start_without_indexes_s"] = round(time.perf_counter() - start, 2)
    start = time.perf_counter()
    assert verify(directory).is_sound
    figures["verify_s"] = round(time.perf_counter() - start, 2)
    figures["dedupe_lookup_us_per_batch_of_100"] = lookup_us(records)
    return figures


def lookup_us(ids: int) -> float:
    """Processor time of one lookup of 100 new ids in a window of this many."""
    random = np.random.default_rng(7)
    index = DedupeIndex(86_400_000, 2 * ids)
    for first in range(0, ids, 1_000_000):
        index.load(random.integers(0, 2**64 - 1, 1_000_000, dtype=np.uint64), first, first, first)
    values = [random.integers(0, 2**64 - 1, 100, dtype=np.uint64) for _ in range(1_000)]
    lists = [value.tolist() for value in values]
    start = time.process_time()
    for hashes, value in zip(lists, values, strict=True):
        index.find(hashes, value)
    return round((time.process_time() - start) * 1_000, 1)


def mongo_rates(uri: str, records: int) -> Figures:
    """The same log in MongoDB."""
    client: MongoClient[dict[str, Any]] = MongoClient(uri)
    name = f"pistats_bench_{os.getpid()}"
    try:
        log = MongoLog.open(client, name, 0, SETTINGS)
        return {"append": append_rate(log, 100, records), "read": read_rate(log)}
    finally:
        client.drop_database(name)
        client.close()


def ms(seconds: float) -> float:
    return round(seconds * 1_000, 3)


def p99(spent: list[float]) -> float:
    return ms(sorted(spent)[int(len(spent) * 0.99)])


if __name__ == "__main__":
    main()

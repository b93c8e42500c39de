"""How fast one partition's log appends, reads, starts and looks up duplicates, beside what the disk itself can do.

.venv/bin/python -m benchmarks.stream [--records 1000000] [--window 10000000] [--directory DIR] [--mongodb-uri URI]
"""

import itertools
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

from benchmarks.figures import Figures, Result
from benchmarks.part import arguments, run
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


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="records for the append and read rates")
    parser.add_argument("--window", type=int, default=10_000_000, help="records in the dedupe window for the start")
    parser.add_argument("--directory", type=Path, default=None, help="where to write (default: a temporary directory)")
    parser.add_argument("--mongodb-uri", default=None, help="also measure the log in this MongoDB")
    chosen = parser.parse_args()
    run(lambda: measure(chosen.records, chosen.window, chosen.directory, chosen.mongodb_uri), keep=chosen.save)


def measure(
    records: int = 1_000_000, window: int = 10_000_000, parent: Path | None = None, mongodb_uri: str | None = None
) -> Result:
    """All figures. Writes about 100 bytes a record below `parent` and removes them again."""
    directory, figures = Path(tempfile.mkdtemp(prefix="pistats-bench-", dir=parent)), Figures("stream")
    try:
        disk_rates(directory, figures)
        for size in (1, 10, 100, 1_000):
            count = min(records, size * 5_000)
            with_size = directory / f"batches-of-{size}"
            append_rate(FileLog.open(with_size, 0, SETTINGS), size, count, f"append, batches of {size}", figures)
        log = FileLog.open(directory / "read", 0, SETTINGS)
        append_rate(log, 100, records, f"append, {records:,} records", figures)
        read_rate(log, "read", figures)
        duplicate_rate(log, figures)
        log.close()
        if window:
            start_time(directory / "window", window, figures)
        if mongodb_uri:
            mongo_rates(mongodb_uri, records // 10, figures)
        figures.add("peak memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB")
        return figures.result()
    finally:
        shutil.rmtree(directory)


def disk_rates(directory: Path, figures: Figures) -> None:
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
    figures.add("fdatasync", 1_000 / sum(spent), "/s")
    add_times("fdatasync", spent, figures)


def add_times(name: str, spent: list[float], figures: Figures) -> None:
    figures.add(f"{name}: p50", 1_000 * statistics.median(spent), "ms")
    figures.add(f"{name}: p99", 1_000 * sorted(spent)[int(len(spent) * 0.99)], "ms")
    figures.add(f"{name}: longest", 1_000 * max(spent), "ms")


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


def append_rate(log: StreamLog, size: int, records: int, name: str, figures: Figures) -> None:
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
    figures.add(name, len(spent) * size / sum(spent), "records/s")
    figures.add(f"{name}: processor", processor_s / (len(spent) * size) * 1e6, "µs a record")
    add_times(name, spent, figures)
    figures.add(f"{name}: on disk", stored.bytes_on_disk / stored.end_offset, "bytes a record")


def read_rate(log: StreamLog, name: str, figures: Figures) -> None:
    """Sequential reads of 1 MB from the page cache: raw, and decoded to records and to columns."""
    figures.add(f"{name}, as stored", scan(log, lambda _: None), "records/s")
    figures.add(f"{name}, as columns", scan(log, frame.columns), "records/s")
    figures.add(f"{name}, decoded", scan(log, frame.decode), "records/s")


def scan(log: StreamLog, use: Callable[[bytes], object]) -> float:
    """Records a second from the first to the last."""
    start = time.perf_counter()
    offset = log.first_offset
    while offset < log.end_offset:
        fetched = log.read(offset, 1_000_000)
        for encoded in fetched.frames:
            use(encoded)
        offset = fetched.next_offset
    return (offset - log.first_offset) / (time.perf_counter() - start)


def duplicate_rate(log: StreamLog, figures: Figures) -> None:
    """Batches that were stored before, under new batch ids: every hit is confirmed against the stored key."""
    known = list(itertools.islice(batches(100), 200))
    log.append(known)
    start = time.perf_counter()
    for batch in known:
        log.append([Batch(os.urandom(16), batch.keys, batch.payloads)])
    figures.add("duplicates", 100 * len(known) / (time.perf_counter() - start), "records/s")


def start_time(directory: Path, records: int, figures: Figures) -> None:
    """Fill a log, then start it as after a crash; also without its index files."""
    log = FileLog.open(directory, 0, SETTINGS)
    source = batches(100)
    while log.end_offset < records:
        log.append(list(itertools.islice(source, 100)))
    append_rate(log, 100, 100_000, f"append, window of {records:,} ids", figures)
    figures.add("window: log on disk", log.stats().bytes_on_disk / 1e6, "MB")
    del log  # not closed
    start = time.perf_counter()
    log = FileLog.open(directory, 0, SETTINGS)
    figures.add("window: start", time.perf_counter() - start, "s")
    stats = log.stats()
    figures.add("window: memory", stats.dedupe_bytes / stats.dedupe_ids, "bytes an id")
    log.close()
    for index in directory.glob("*.index"):
        index.unlink()
    start = time.perf_counter()
    FileLog.open(directory, 0, SETTINGS).close()
    figures.add("window: start without index files", time.perf_counter() - start, "s")
    start = time.perf_counter()
    assert verify(directory).is_sound
    figures.add("window: verify", time.perf_counter() - start, "s")
    figures.add("window: look up 100 new ids", lookup_us(records), "µs of processor time")


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
    return (time.process_time() - start) * 1_000


def mongo_rates(uri: str, records: int, figures: Figures) -> None:
    """The same log in MongoDB."""
    client: MongoClient[dict[str, Any]] = MongoClient(uri)
    name = f"pistats_bench_{os.getpid()}"
    try:
        log = MongoLog.open(client, name, 0, SETTINGS)
        append_rate(log, 100, records, "append to MongoDB", figures)
        read_rate(log, "read from MongoDB", figures)
    finally:
        client.drop_database(name)
        client.close()


if __name__ == "__main__":
    main()

"""From the acknowledgement of an event to its minute in MongoDB, as a change stream tells it: what the live page sees.

One partition stores and counts in order, so its k-th acknowledged event is matched with the moment at which its minutes
hold k events.
"""

import tempfile
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
from pymongo.database import Database
from pymongo.errors import PyMongoError

from benchmarks.end_to_end import counted, live_database, wait_until_counted
from benchmarks.figures import Figure, Result
from benchmarks.load_process import load
from benchmarks.running_system import System
from pistats.identity import bucket_of, partition_of

RATES = (100, 600)


class MinuteWatch:
    """Follows the minutes of one site: per partition, when how many events were in them."""

    def __init__(self, database: Database[dict[str, Any]], site: str) -> None:
        self._minutes = database["minutes"]
        self._site = site
        self._counts: dict[int, dict[int, int]] = defaultdict(dict)
        self.seen: dict[int, list[tuple[int, int]]] = defaultdict(list)
        """Per partition: (events so far, monotonic time), ascending."""
        self._stop = threading.Event()
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        self._open.wait(10)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        only = [{"$match": {"documentKey._id.site": self._site}}]
        with self._minutes.watch(only, full_document="updateLookup", max_await_time_ms=200) as stream:
            self._open.set()
            while not self._stop.is_set():
                try:
                    change = stream.try_next()
                except PyMongoError:
                    return
                if change is not None and change.get("fullDocument"):
                    self._note(change["fullDocument"], time.monotonic_ns())

    def _note(self, document: dict[str, Any], now_ns: int) -> None:
        identity = document["_id"]
        counts = self._counts[identity["partition"]]
        counts[identity["minute"]] = document["events"] + document["bots"]
        self.seen[identity["partition"]].append((sum(counts.values()), now_ns))


def measure(system: System, *, quick: bool) -> Result:
    """Freshness at two rates."""
    result = Result("freshness")
    for rate in RATES:
        result.details[f"{rate}/s"] = ages = _ages_ms(system, rate, 5 if quick else 30)
        for label in ("p50", "p95", "max"):
            result.figures.append(Figure(f"{rate} events/s: {label}", ages[label], "ms"))
    return result


def _ages_ms(system: System, rate: int, seconds: int) -> dict[str, float]:
    site, key = system.new_site()
    client, database = live_database(system)
    partitions = database["partitions"].count_documents({})
    with tempfile.TemporaryDirectory() as directory:
        acknowledged = Path(directory) / "acknowledged.ndjson"
        watch = MinuteWatch(database, site)
        sent = load(
            system.http_port, key=key, connections=16, rate=rate, seconds=seconds, acknowledged=str(acknowledged)
        )
        wait_until_counted(system)
        watch.stop()
        if counted(database, site) != sent["events"]:
            raise RuntimeError(f"{sent['events']} events acknowledged, {counted(database, site)} counted")
        client.close()
        entries = [orjson.loads(line) for line in acknowledged.read_bytes().splitlines()]
    ages = sorted(_ages(entries, watch.seen, site, partitions))
    quantiles = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    figures = {name: round(ages[min(len(ages) - 1, int(share * len(ages)))], 1) for name, share in quantiles.items()}
    return {**figures, "events": len(ages)}


def _ages(
    entries: list[tuple[int, str]], seen: dict[int, list[tuple[int, int]]], site: str, partitions: int
) -> list[float]:
    """Milliseconds per event, events of each partition in the order of their acknowledgements."""
    by_partition: dict[int, list[int]] = defaultdict(list)
    for at_ns, visitor_id in sorted(entries):
        by_partition[partition_of(bucket_of(site, visitor_id), partitions)].append(at_ns)
    ages = []
    for partition, times in by_partition.items():
        steps = seen[partition]
        for number, at_ns in enumerate(times, start=1):
            step = bisect_left(steps, (number, 0))
            ages.append((steps[step][1] - at_ns) / 1e6)
    return ages

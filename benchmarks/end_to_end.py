"""Events a second from the request to the count in MongoDB, in batches of 50.

Sends as fast as it is acknowledged, and stops the clock when every consumer's checkpoint has passed the last event. The
counts are then compared: what the live minutes hold has to be what was acknowledged, event by event.
"""

import threading
import time
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from benchmarks.figures import Figure, Result, Target
from benchmarks.load_process import load
from benchmarks.processes import CpuClock
from benchmarks.running_system import System
from pistats.settings import Settings

BATCH = 50
CONNECTIONS = 8
COUNT_TIMEOUT_S = 300.0
POLL_S = 0.05
QUIET_S = 3.0


def live_database(system: System) -> tuple[MongoClient[dict[str, Any]], Database[dict[str, Any]]]:
    """What the consumer group of the live page writes. Close the client."""
    client: MongoClient[dict[str, Any]] = MongoClient(system.runtime.mongodb_uri)
    settings = Settings()
    return client, client[settings.database(settings.consumers.group)]


def consumed(database: Database[dict[str, Any]]) -> int:
    """Events that all checkpoints have passed together."""
    return sum(document["offset"] or 0 for document in database["partitions"].find({}, {"offset": 1}))


def wait_until_counted(system: System) -> None:
    """Until the checkpoints have stood still for a while: nothing waits any more."""
    client, database = live_database(system)
    try:
        seen, since = -1, time.monotonic()
        deadline = since + COUNT_TIMEOUT_S
        while time.monotonic() - since < QUIET_S:
            now = consumed(database)
            if now != seen:
                seen, since = now, time.monotonic()
            if time.monotonic() > deadline:
                raise RuntimeError("the consumers don't come to rest")
            time.sleep(0.2)
    finally:
        client.close()


class CheckpointWatch:
    """Notes when the checkpoints pass `events` more than at the beginning, and the largest rate of a second."""

    def __init__(self, database: Database[dict[str, Any]], events: int) -> None:
        self._database = database
        self._events = events
        self._base = consumed(database)
        self.passed_ns: int | None = None
        self.samples: list[tuple[int, int]] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def wait(self) -> int:
        """The machine's monotonic time at which the last event was counted."""
        self._thread.join()
        if self.passed_ns is None:
            raise RuntimeError(f"not counted in {COUNT_TIMEOUT_S:g} s")
        return self.passed_ns

    def _watch(self) -> None:
        deadline = time.monotonic() + COUNT_TIMEOUT_S
        while time.monotonic() < deadline:
            done = consumed(self._database) - self._base
            now = time.monotonic_ns()
            self.samples.append((now, done))
            if done >= self._events:
                self.passed_ns = now
                return
            time.sleep(POLL_S)


def measure(system: System, *, quick: bool) -> Result:
    """Batches as fast as they are acknowledged, until everything is counted."""
    events = 30_000 if quick else 400_000
    site, key = system.new_site()
    load(system.http_port, key=key, connections=2, batch=BATCH, events=2_000)  # warms caches; not counted
    wait_until_counted(system)
    client, database = live_database(system)
    try:
        before = counted(database, site)
        watch, clock = CheckpointWatch(database, events), CpuClock(system)
        sent = load(system.http_port, key=key, connections=CONNECTIONS, batch=BATCH, events=events)
        ended_ns = watch.wait()
        costs = clock.us_per(events, least=0.1)
        _assert_equal(counted(database, site) - before, sent["events"], events)
    finally:
        client.close()
    start_ns = sent["first_sent_ns"]
    seconds = (ended_ns - start_ns) / 1e9
    return Result(
        "end_to_end",
        [
            Figure("acknowledged and counted", round(events / seconds), "events/s", Target(">=", 5_000)),
            Figure("acknowledged", round(sent["events_per_s"]), "events/s"),
            Figure("counted after the last acknowledgement", round(seconds - sent["seconds"], 2), "s"),
            Figure("processor", round(sum(costs.values()), 1), "µs/event"),
            Figure("a batch's answer: p50", sent["p50_ms"], "ms"),
            Figure("a batch's answer: p99", sent["p99_ms"], "ms"),
        ],
        {"load": sent, "events": events, "batch": BATCH, "cpu_us_per_event": costs},
    )


def counted(database: Database[dict[str, Any]], site: str) -> int:
    """Events of a site in the live minutes, bots included."""
    found = database["minutes"].aggregate(
        [{"$match": {"_id.site": site}}, {"$group": {"_id": None, "n": {"$sum": {"$add": ["$events", "$bots"]}}}}]
    )
    return sum(int(document["n"]) for document in found)


def _assert_equal(in_minutes: int, acknowledged: int, sent: int) -> None:
    if not in_minutes == acknowledged == sent:
        raise RuntimeError(f"{sent} events sent, {acknowledged} acknowledged, {in_minutes} counted in MongoDB")

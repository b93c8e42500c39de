"""Events a second of a replay: the whole log into a shadow group, by as many consumers as its pool grows to.

The clock runs from the first commit of the new group to its last, so the start of its processes is not in it. What the
live group and ingest do meanwhile is: next to nothing.
"""

import subprocess
import sys
import time
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from benchmarks.end_to_end import consumed, live_database, wait_until_counted
from benchmarks.figures import Figure, Result, Target
from benchmarks.load_process import load
from benchmarks.processes import CpuClock
from benchmarks.running_system import System
from pistats.settings import Settings

GROUP = "benchmark"
TIMEOUT_S = 600.0
POLL_S = 0.1


def measure(system: System, *, quick: bool) -> Result:
    """Replay what is stored, or as many events as make a figure if that is less."""
    wanted = 20_000 if quick else 300_000
    client, live = live_database(system)
    try:
        missing = wanted - consumed(live)
        if missing > 0:
            _, key = system.new_site()
            load(system.http_port, key=key, connections=8, batch=50, events=-(-missing // 50) * 50)
        wait_until_counted(system)
        return _replayed(system, client, consumed(live))
    finally:
        client.close()


def _replayed(system: System, client: MongoClient[dict[str, Any]], events: int) -> Result:
    group = client[Settings().database(GROUP)]
    started = time.monotonic()
    _pistats(system, "replay", "--group", GROUP, "--from", "trim-horizon")
    try:
        first, done = _wait(group, 1)
        clock = CpuClock(system)
        last, _ = _wait(group, events)
        costs = clock.us_per(events - done, least=0.1)
        consumers = group["members"].count_documents({})
    finally:
        _pistats(system, "group", "drop", GROUP)
    return Result(
        "replay",
        [
            Figure("replayed", round((events - done) / (last - first)), "events/s", Target(">=", 20_000)),
            Figure("until the first commit", round(first - started, 1), "s"),
            Figure("processor", round(sum(costs.values()), 1), "µs/event"),
            Figure("consumers at the end", consumers, ""),
        ],
        {"events": events, "cpu_us_per_event": costs},
    )


def _wait(group: Database[dict[str, Any]], events: int) -> tuple[float, int]:
    """When the group had consumed so many, and how many it had by then."""
    deadline = time.monotonic() + TIMEOUT_S
    while (done := consumed(group)) < events:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{done} of {events} events replayed in {TIMEOUT_S:g} s")
        time.sleep(POLL_S)
    return time.monotonic(), done


def _pistats(system: System, *arguments: str) -> None:
    command = [sys.executable, "-m", "pistats", *arguments, "--data", str(system.data)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

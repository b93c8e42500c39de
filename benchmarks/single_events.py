"""Requests with one event each: how many a second are durable, and how long each takes.

Closed loop at 8, 32 and 128 connections, each beside an application that does nothing, in the same Serve on the same
machine at the same moment: what the ratio lacks is ours, what the ceiling lacks is Serve's. Then 600 requests a second
in an open loop, while the consumer keeps up with all that the closed loops left behind. The load generator shares the
machine.
"""

from typing import Any

from benchmarks.end_to_end import wait_until_counted
from benchmarks.figures import Figure, Result, Target
from benchmarks.load_process import failures, finish_load, load, start_load
from benchmarks.noop import noop_application
from benchmarks.processes import CpuClock
from benchmarks.running_system import System

CONNECTIONS = (8, 32, 128)
RATE = 600
"""Requests a second of the open loop: the seed's peak, were every event a request of its own."""
TIMES = ("p50_ms", "p99_ms", "p999_ms")
LABELS = {"p50_ms": "p50", "p99_ms": "p99", "p999_ms": "p99.9"}


def measure(system: System, *, quick: bool) -> Result:
    """Ceiling, closed loops, open loop."""
    seconds = 3 if quick else 15
    result = Result("single_events")
    _, key = system.new_site()
    load(system.http_port, key=key, connections=8, seconds=2)  # warms caches; not counted
    with noop_application(system) as path:
        for connections in CONNECTIONS:
            clock = CpuClock(system)
            ceiling = load(system.http_port, path=path, connections=connections, seconds=seconds)
            ceiling["cpu_us_per_request"] = clock.us_per(ceiling["requests"])
            clock = CpuClock(system)
            ours = load(system.http_port, key=key, connections=connections, seconds=seconds)
            ours["cpu_us_per_request"] = clock.us_per(ours["requests"])
            _closed_figures(result, connections, ours, ceiling)
    wait_until_counted(system)
    opened = finish_load(start_load(system.http_port, key=key, connections=64, seconds=4 * seconds, rate=RATE))
    for name in TIMES:
        target = Target("<=", 20) if name == "p99_ms" else None
        result.figures.append(Figure(f"open loop {RATE}/s: {LABELS[name]}", opened[name], "ms", target))
    result.figures.append(failures(opened, f"open loop {RATE}/s"))
    result.details["open_loop"] = opened
    return result


def _closed_figures(result: Result, connections: int, ours: dict[str, Any], ceiling: dict[str, Any]) -> None:
    label = f"{connections} connections"
    target = Target(">=", 2_000) if connections == 32 else None
    rate, most = ours["requests_per_s"], ceiling["requests_per_s"]
    result.figures.extend(
        [
            Figure(f"{label}: durable requests", rate, "/s", target),
            Figure(f"{label}: no-op ceiling", most, "/s"),
            Figure(f"{label}: of the ceiling", round(100 * rate / most, 1), "%"),
            *(Figure(f"{label}: {LABELS[name]}", ours[name], "ms") for name in TIMES),
            *(Figure(f"{label}: no-op {LABELS[name]}", ceiling[name], "ms") for name in TIMES),
        ]
    )
    for name, cost in (("ours", ours), ("no-op", ceiling)):
        total = sum(cost["cpu_us_per_request"].values())
        result.figures.append(Figure(f"{label}: processor, {name}", round(total), "µs/request"))
    result.details[label] = {"ours": ours, "no_op": ceiling}

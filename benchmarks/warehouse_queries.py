"""How long history, retention, segments and rollups take, over the warehouse's own files and a real mongod.

    .venv/bin/python -m benchmarks.warehouse_queries [--day 10000000] [--quarter 5000000] [--month 30000000]

Each query is asked three times by a QueryEngine with its default bounds (1 GB, 2 threads); the figure is the median.
Memory is the peak of this process, all of Python and DuckDB in it. The files are in the page cache.
"""

import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.figures import Figures, Result, Target
from benchmarks.part import arguments, run
from benchmarks.warehouse_data import make_days
from pistats.mongo.client import connect
from pistats.mongo.indexes import Database, ensure_group_indexes, ensure_system_indexes
from pistats.mongo.server import MongodServer
from pistats.reports.funnel import FunnelQuery, FunnelStep
from pistats.reports.history import METRICS, HistoryQuery
from pistats.reports.reports import Reports
from pistats.reports.retention import RetentionQuery
from pistats.settings import MongoSettings
from pistats.sites import Site
from pistats.warehouse.engine import QueryEngine
from pistats.warehouse.rollup import Rollups
from pistats.warehouse.rollup_files import RollupStore
from pistats.warehouse.source import EventSource
from pistats.warehouse.storage import Storage

ROUNDS = 3
DAY, QUARTER, MONTH = "day.example", "quarter.example", "month.example"
FIRST = date(2026, 7, 1)
NOW = int(datetime(2026, 10, 15, tzinfo=UTC).timestamp() * 1000)

JOINS_SQL = """
WITH readers AS (SELECT visitor_id FROM events WHERE name = 'page_view' AND starts_with(path, '/sport/') AND NOT is_bot
                 AND event_time >= $recent GROUP BY visitor_id HAVING count(*) >= 2),
     buyers AS (SELECT DISTINCT visitor_id FROM events WHERE name = 'purchase' AND NOT is_bot),
     mobile AS (SELECT DISTINCT visitor_id FROM events WHERE device = 'mobile' AND country IN ('C1', 'C2', 'C3'))
SELECT count(*) AS visitors FROM readers JOIN mobile USING (visitor_id) ANTI JOIN buyers USING (visitor_id)
"""
"""Readers of sport in the last week, on a phone in three countries, who have bought nothing in the month."""


class Bench:
    """A warehouse in a folder, and the figures so far."""

    def __init__(self, group: Database, system: Database, root: Path) -> None:
        self.group = group
        self.source = EventSource(group, system, str(root))
        self.storage = Storage(str(root))
        self.engine = QueryEngine(timeout_s=600, spill=root / "spill")
        self.reports = Reports(self.source, self.engine, group, system, str(root), lambda: NOW)
        self.figures = Figures("warehouse_queries")

    async def make(self, site: str, first: date, days: int, *, events: int, visitors: int) -> None:
        began = time.perf_counter()
        size = await make_days(self.group, self.storage, "live", site, first, days, events=events, visitors=visitors)
        print(f"{site}: made in {time.perf_counter() - began:.0f} s, {size / events:.1f} bytes an event", flush=True)

    async def ask(self, name: str, question: Callable[[], Awaitable[Any]], target_s: float | None = None) -> None:
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await question()
            times.append(time.perf_counter() - began)
        self.note(name, statistics.median(times), target_s)

    async def roll_up(self, name: str, site: Site, target_s: float | None = None) -> None:
        rollups = Rollups(RollupStore(self.group), self.source, self.storage, "live", "bench", lambda: NOW)
        began = time.perf_counter()
        written = await rollups.run(site, await rollups.days_to_count(site))
        self.note(f"{name}, {written} rollups", time.perf_counter() - began, target_s)

    def note(self, name: str, seconds: float, target_s: float | None = None) -> None:
        self.figures.add(name, seconds, "s", None if target_s is None else Target("<=", target_s))
        self.figures.add("  peak memory of the process until then", peak_mb(), "MB")


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def a_site(name: str) -> Site:
    return Site(name, "UTC", "", "", (), True, 0)


async def measure_quarter(bench: Bench, events: int) -> None:
    """90 days: retention, and months from rollups."""
    site = a_site(QUARTER)
    await bench.make(QUARTER, FIRST, 90, events=events, visitors=events // 15)
    last = FIRST + timedelta(days=89)
    await bench.ask(
        f"retention grid, 90 days of {events:,} events",
        lambda: bench.reports.retention(site, RetentionQuery(from_date=FIRST, to_date=last)),
        1.0,
    )
    by_page = HistoryQuery(
        from_date=date(2026, 8, 1), to_date=date(2026, 8, 31), by=("page",), granularity="month", metrics=METRICS
    )
    daily = HistoryQuery(from_date=FIRST, to_date=last, by=("time",), metrics=METRICS)
    await bench.ask("month by page from events", lambda: bench.reports.history(site, by_page))
    await bench.ask("90 days by day from events", lambda: bench.reports.history(site, daily))
    await bench.roll_up("rollups of 90 days", site)
    await bench.ask("month by page from rollups", lambda: bench.reports.history(site, by_page), 0.3)
    await bench.ask("90 days by day from rollups", lambda: bench.reports.history(site, daily))


async def measure_day(bench: Bench, events: int) -> None:
    """One big day: its rollup, and history before it is rolled up."""
    site = a_site(DAY)
    await bench.make(DAY, FIRST, 1, events=events, visitors=events // 8)
    views = HistoryQuery(from_date=FIRST, to_date=FIRST, by=("page",), metrics=("visitors", "views"))
    hours = HistoryQuery(from_date=FIRST, to_date=FIRST, by=("time",), granularity="hour", metrics=METRICS)
    steps = (
        FunnelStep("page_view", {"field": "path", "op": "starts_with", "value": "/sport/"}),
        FunnelStep("purchase"),
    )
    funnel = FunnelQuery(steps=steps, from_date=FIRST, to_date=FIRST)
    await bench.ask(f"pages of a day of {events:,} events, from events", lambda: bench.reports.history(site, views))
    await bench.ask("its hours with sessions, from events", lambda: bench.reports.history(site, hours))
    await bench.ask("a funnel of two steps over it", lambda: bench.reports.funnel(site, funnel))
    await bench.roll_up(f"rollup of a day of {events:,} events", site)


async def measure_month(bench: Bench, events: int) -> None:
    """30 days: joins on the visitor."""
    await bench.make(MONTH, FIRST, 30, events=events, visitors=events // 15)
    start = int(datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC).timestamp() * 1000)
    recent = {"recent": start + 23 * 86_400_000}

    async def joins() -> None:
        there = await bench.source.events(MONTH, start, start + 30 * 86_400_000)
        await bench.engine.run(there, JOINS_SQL, recent)

    await bench.ask(f"three joins over {events:,} events", joins, 2.0)


def measure(day: int = 10_000_000, quarter: int = 5_000_000, month: int = 30_000_000) -> Result:
    """All figures. Zero events of a kind: leave that part out."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(measure_in(Path(directory), day, quarter, month))


async def measure_in(directory: Path, day: int, quarter: int, month: int) -> Result:
    server = MongodServer(directory / "mongod", MongoSettings(cache_mb=256))
    server.start()
    client = connect(server.uri)
    try:
        group, system = client["bench_live"], client["bench"]
        await ensure_system_indexes(system)
        await ensure_group_indexes(group, 3_600)
        bench = Bench(group, system, directory / "warehouse")
        for part, events in ((measure_quarter, quarter), (measure_day, day), (measure_month, month)):
            if events:
                await part(bench, events)
        bench.engine.close()
        return bench.figures.result()
    finally:
        await client.close()
        server.stop()


def main() -> None:
    parser = arguments(__doc__)
    for name, events in (("day", 10_000_000), ("quarter", 5_000_000), ("month", 30_000_000)):
        parser.add_argument(f"--{name}", type=int, default=events, help="events; 0 leaves this part out")
    chosen = parser.parse_args()
    run(lambda: measure(chosen.day, chosen.quarter, chosen.month), keep=chosen.save)


if __name__ == "__main__":
    main()

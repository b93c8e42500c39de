"""Compares closed days: live minutes and ledger against the warehouse. `python -m jobs.parity`. Daily, by the schedule.

Fails when a number differs, and prints the first difference, unless visitors of the site were erased: their events are
counted still, and gone from the warehouse.
"""

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb

from jobs.run import run
from pistats.clock import now_ms
from pistats.errors import FinalError
from pistats.jobs.job import Job
from pistats.live.fold import MAX_LATENESS_MS
from pistats.sites import Site, SiteStore
from pistats.warehouse.engine import FoundEvents
from pistats.warehouse.parity import (
    Difference,
    count_day,
    ledger_differences,
    ledger_rows,
    live_minutes,
    minute_differences,
)
from pistats.warehouse.periods import DAY_MS, days_of
from pistats.warehouse.source import EventSource

Rows = list[dict[str, int]]
Minutes = dict[int, tuple[int, int, int]]


async def parity(job: Job) -> dict[str, Any]:
    """Check one group's days (UTC), by default yesterday."""
    today = datetime.fromtimestamp(now_ms() / 1000, UTC).date()
    last = min(job.arguments.to_date or today, today - timedelta(days=1))
    first = job.arguments.from_date or last
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    checked, erased = 0, 0
    for day in job.progress.track(days, "days compared", len(days)):
        differences, excused = await _check(job, day)
        if differences:
            raise FinalError(f"{day}: {len(differences)} numbers differ. The first: {differences[0]}")
        checked, erased = checked + 1, erased + excused
    return {"days": checked, "differences_by_erasure": erased}


async def _check(job: Job, day: date) -> tuple[list[Difference], int]:
    """The differences of a day, and how many more there are that erasures explain."""
    start = days_of(day) * DAY_MS
    rows = await ledger_rows(job.group, start, start + DAY_MS)
    source = EventSource(job.group, job.system, job.settings.warehouse_root)
    keep_ms = job.settings.live.keep_s * 1_000
    in_ledger: Counter[tuple[int, int]] = Counter()
    found: list[Difference] = []
    excused = 0
    for site in await SiteStore(job.system).list():
        # What came on this day may have happened any time before; the live numbers take it up to a limit.
        events = await source.events(site.name, 0, start + DAY_MS)
        minutes, counted = await asyncio.to_thread(_count, events, start, rows)
        in_ledger.update(counted)
        if now_ms() - start < keep_ms - MAX_LATENESS_MS:
            live = await live_minutes(job.group, site.name, start, start + DAY_MS)
            differences = list(minute_differences(site.name, minutes, live))
            if await _has_erasures(job, site):
                excused += len(differences)
            else:
                found += differences
    differences = list(ledger_differences(rows, in_ledger))
    if differences and await job.system["erasures"].find_one({}) is not None:
        return found, excused + len(differences)
    return found + differences, excused


def _count(events: FoundEvents, start: int, rows: Rows) -> tuple[Minutes, dict[tuple[int, int], int]]:
    with duckdb.connect(config={"threads": 1, "memory_limit": "1GB"}) as connection:
        return count_day(events, connection, start, start + DAY_MS, rows)


async def _has_erasures(job: Job, site: Site) -> bool:
    return await job.system["erasures"].find_one({"_id.site": site.name}) is not None


def main() -> None:
    run("parity", parity)


if __name__ == "__main__":
    main()

"""Counts days, weeks and months once, so that history need not count them again.

Days are counted from events. A unit of that work is a day and a range of buckets; units share nothing, and what they
give is added up. `Rollups` decides what to count; who counts the units (a loop, or Ray's tasks) is given to it. Weeks
and months are put together from the files of their days (`day_files`), without reading an event.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from xxhash import xxh3_128_hexdigest

from pistats.clock import Clock, now_ms
from pistats.enrich.session import GAP_MS
from pistats.sites import Site
from pistats.warehouse.ages import check_age
from pistats.warehouse.day_files import sums_of_days
from pistats.warehouse.day_visitors import DayVisitors
from pistats.warehouse.dimension_sums import add_up_dimensions, rows_of, sums_table
from pistats.warehouse.dimensions import DimensionCounts, count_dimensions
from pistats.warehouse.engine import Connection, Events, Source
from pistats.warehouse.measures import DIMENSIONS, bucket_parts
from pistats.warehouse.periods import Granularity, SiteDays, day_of_ms, days_of, next_period, period_start
from pistats.warehouse.rollup_files import (
    SEEN,
    VISITORS_SCHEMA,
    Rollup,
    RollupStore,
    new_base,
    period_holds,
    utc_dates,
)
from pistats.warehouse.sessions import MARGIN_MS
from pistats.warehouse.storage import Storage

ROW_GROUP_ROWS = 16_384
"""Of a file of sums: small, so that one dimension is read without the others."""

AROUND = 2
"""Days of a site that events of a UTC date may concern: a zone is up to a day away, a session a day long."""

UNIT_MEMORY = "1GB"
"""Of DuckDB in one unit."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work: the events of a day and around it, and the buckets to count."""

    events: Events
    days: SiteDays
    buckets: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Counted:
    """What a unit gives: what is counted of its day, and the end of the last session that starts in it."""

    counts: DimensionCounts
    last_end: int


@dataclass(frozen=True, slots=True)
class Day:
    """The same of all units of a day: the tables of its files."""

    sums: pa.Table
    visitors: pa.Table
    last_end: int


CountUnits = Callable[[Sequence[Unit]], Sequence[Counted]]
"""Counts every unit, in any order and place, and gives the results in the order of the units."""


def count_unit(unit: Unit) -> Counted:
    """The sums of one unit. Reads only, so it may be repeated anywhere."""
    config: dict[str, Any] = {"threads": 1, "memory_limit": UNIT_MEMORY}
    with duckdb.connect(config=config) as connection:
        unit.events.register(connection, "events")
        counts = count_dimensions(connection, unit.days, ("hour", "day"), unit.buckets)
        return Counted(counts, _last_end(connection, unit.days))


def count_in_threads(units: Sequence[Unit]) -> list[Counted]:
    """`CountUnits` without a framework: two at a time, because most of it is done without the interpreter's lock."""
    with ThreadPoolExecutor(2, thread_name_prefix="rollup") as pool:
        return list(pool.map(count_unit, units))


def units_of(events: Events, days: SiteDays) -> list[Unit]:
    """The units of one day: as many as its events need to be counted in memory."""
    with duckdb.connect() as connection:
        events.register(connection, "events")
        return [Unit(events, days, buckets) for buckets in bucket_parts(connection)]


def add_up(day: date, counted: Sequence[Counted]) -> Day:
    """The results of all units of a day, in the order of the units."""
    parts = [one.counts for one in counted]
    sums = add_up_dimensions(part.sums for part in parts)
    people = pa.concat_tables([part.visitors for part in parts])
    columns = [*people.select(["bucket", "visitor_id"]), pa.repeat(days_of(day), people.num_rows)]
    for dimension in DIMENSIONS:
        lists = []
        for part in parts:
            [mine] = (one for one in part.sums if (one.granularity, one.dimension) == ("day", dimension))
            visitors, codes = part.seen[dimension]
            ends = np.cumsum(np.bincount(visitors, minlength=part.visitors.num_rows), dtype=np.int32)
            places = pa.array(rows_of(sums["day", dimension], mine, codes))
            lists.append(pa.ListArray.from_arrays(pa.array(np.append(np.int32(0), ends)), places, SEEN))
        columns.append(pa.chunked_array(lists, SEEN))
    visitors = pa.Table.from_arrays(columns, VISITORS_SCHEMA.names).cast(VISITORS_SCHEMA)
    return Day(sums_table(sums), visitors, max(one.last_end for one in counted))


class Rollups:
    """Brings the rollups of one group up to date. May be repeated, and end anywhere."""

    def __init__(
        self,
        store: RollupStore,
        source: Source,
        storage: Storage,
        group_name: str,
        run_id: str,
        clock: Clock = now_ms,
        count: CountUnits = count_in_threads,
    ) -> None:
        self._store = store
        self._source = source
        self._storage = storage
        self._visitors = DayVisitors(store, storage, group_name, run_id)
        self._group_name = group_name
        self._run_id = run_id
        self._clock = clock
        self._count = count

    async def days_to_count(
        self, site: Site, from_date: date | None = None, to_date: date | None = None, *, oldest: date | None = None
    ) -> list[date]:
        """The closed days around dirty dates and those with files of another format than they should have, in order.

        A day is closed when it is over in the site's zone. `oldest`: as in `run`.
        """
        today = day_of_ms(site.timezone, self._clock())
        found = set(await self._store.outdated(site.name, oldest))
        for marked in await self._store.marks(site.name):
            day = date.fromisoformat(marked)
            found |= {day + timedelta(days=shift) for shift in range(-AROUND, AROUND + 1)}
        return sorted(
            day
            for day in found
            if day < today and (from_date is None or day >= from_date) and (to_date is None or day <= to_date)
        )

    async def run(
        self,
        site: Site,
        days: Sequence[date],
        *,
        oldest: date | None = None,
        done: Callable[[Rollup], None] = lambda _: None,
    ) -> int:
        """Count those of the days that no rollup counts, then their weeks and months; how many rollups were written.

        `oldest`: the first day whose raw events are all kept. Rollups of earlier ones hold as they are: they were made
        of more than is there now. What each visitor's events had goes with these.
        """
        written = 0
        marks = await self._store.marks(site.name)
        for day in days:
            if oldest is not None and day < oldest:
                await self._forget_seen(site, day)
                await self._store.keep(site.name, day, marks)
                continue
            if rollup := await self._count_day(site, day):
                done(rollup)
                written += 1
        granularities: tuple[Granularity, ...] = ("week", "month")
        for granularity in granularities:
            for start in sorted({period_start(day, granularity) for day in days}):
                if rollup := await self._count_period(site, granularity, start):
                    done(rollup)
                    written += 1
        await self._clear(site, marks)
        return written

    async def _forget_seen(self, site: Site, day: date) -> None:
        """Leave of a day's visitors only that they were there."""
        rollup = (await self._store.find(site.name, "day", day, day)).get(day)
        if rollup is not None and rollup.visitors_path is not None and rollup.has_seen:
            await self._visitors.forget_seen(rollup)

    async def _count_day(self, site: Site, day: date) -> Rollup | None:
        range_ = SiteDays(site.timezone, day, day)
        marks = await self._store.marks(site.name)
        read_time = self._clock()
        events = await self._source.events(site.name, range_.from_ms - MARGIN_MS, range_.to_ms + MARGIN_MS)
        state = await self._store.days(site.name, site.timezone, day, day, events)
        old = state.counted.get(day)
        if day not in state.uncounted and (old is None or old.has_seen):
            return None
        counted = await asyncio.to_thread(lambda: add_up(day, self._count(units_of(events, range_))))
        near = {
            one: marks[one] for one in utc_dates(range_.from_ms - MARGIN_MS, range_.to_ms + MARGIN_MS) if one in marks
        }
        closes_at = max(range_.to_ms - 1, counted.last_end + GAP_MS)
        return await self._write(
            site,
            "day",
            day,
            (counted.sums, counted.visitors),
            marks=near,
            days={},
            read_time=read_time,
            closes_at=closes_at,
        )

    async def _count_period(self, site: Site, granularity: Granularity, start: date) -> Rollup | None:
        """Of a period that is over and whose days are all counted. None: it is not, or its rollup still holds."""
        last = next_period(start, granularity) - timedelta(days=1)
        range_ = SiteDays(site.timezone, start, last)
        if range_.to_ms > self._clock():
            return None
        read_time = self._clock()
        events = await self._source.events(site.name, range_.from_ms - MARGIN_MS, range_.to_ms + MARGIN_MS)
        state = await self._store.days(site.name, site.timezone, start, last, events)
        old = (await self._store.find(site.name, granularity, start, start)).get(start)
        days = list(state.counted.values())
        if state.uncounted or not days or period_holds(old, state, last) or not all(day.has_seen for day in days):
            return None
        sums = await asyncio.to_thread(sums_of_days, self._storage, days, granularity, days_of(start))
        digests = {day.start.isoformat(): day.digest for day in days}
        return await self._write(
            site, granularity, start, (sums,), marks={}, days=digests, read_time=read_time, closes_at=range_.to_ms
        )

    async def _write(
        self,
        site: Site,
        granularity: Granularity,
        start: date,
        counted: tuple[pa.Table, ...],
        *,
        marks: dict[str, str],
        days: dict[str, str],
        read_time: int,
        closes_at: int,
    ) -> Rollup:
        """`counted`: the sums, and of a day its visitors."""
        tables = [_parquet(table) for table in counted]
        digest = xxh3_128_hexdigest(b"".join(tables))
        base = new_base(self._group_name, site.name, granularity, start, self._run_id)
        sums = f"{base}-sums.parquet"
        visitors = f"{base}-visitors.parquet" if granularity == "day" else None
        for path, table in zip((sums, visitors), tables, strict=False):
            assert path is not None
            await asyncio.to_thread(self._store_file, path, table)
        rollup = Rollup(
            site=site.name,
            granularity=granularity,
            start=start,
            sums_path=sums,
            visitors_path=visitors,
            rows=counted[0].num_rows,
            bytes=sum(len(table) for table in tables),
            digest=digest,
            marks=marks,
            days=days,
            read_time=read_time,
            closes_at=closes_at,
            run_id=self._run_id,
        )
        check_age(read_time, self._clock())
        await self._store.put(rollup)
        return rollup

    def _store_file(self, path: str, table: bytes) -> None:
        with self._storage.create(path) as file:
            file.write(table)

    async def _clear(self, site: Site, marks: dict[str, str]) -> None:
        """Remove the marks that are of no use any more: every day that they may concern is closed and counted."""
        today = day_of_ms(site.timezone, self._clock())
        for marked, version in sorted(marks.items()):
            day = date.fromisoformat(marked)
            first, last = day - timedelta(days=AROUND), day + timedelta(days=AROUND)
            if last >= today:
                continue
            range_ = SiteDays(site.timezone, first, last)
            events = await self._source.events(site.name, range_.from_ms, range_.to_ms)
            state = await self._store.days(site.name, site.timezone, first, last, events)
            if not state.uncounted:
                await self._store.clear(site.name, {marked: version})


def _last_end(connection: Connection, days: SiteDays) -> int:
    within = days.within_sql("start_time")
    found = connection.execute(f"SELECT max(end_time) FROM sessions WHERE {within}").fetchall()[0][0]
    return days.from_ms if found is None else int(found)


def _parquet(table: pa.Table) -> bytes:
    """The same bytes for the same rows."""
    file = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), file, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    written: bytes = file.getvalue().to_pybytes()
    return written

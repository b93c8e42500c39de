"""Answers a history question: which events and rollups to read, what to count, and how the rows come out."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from pistats.reports.answer import RollupAnswer
from pistats.reports.history import (
    EVENT_METRICS,
    SESSION_METRICS,
    HistoryComparison,
    HistoryQuery,
    HistoryReport,
    Value,
)
from pistats.reports.history_comparison import compared_days, compared_until
from pistats.reports.history_count import Wanted, count_pieces
from pistats.reports.history_pieces import PERIODS, Pieces, may_use_rollups, pieces_of_rows, pieces_of_total
from pistats.sites import Site
from pistats.warehouse.condition import compile_condition
from pistats.warehouse.engine import Connection, FoundEvents
from pistats.warehouse.measures import Grouping, Measure, Rows, present
from pistats.warehouse.periods import Granularity, SiteDays
from pistats.warehouse.rollup_files import Rollup, RollupStore
from pistats.warehouse.sessions import MARGIN_MS

ROWS, TOTAL = "row_sums", "total_sums"


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted for one range: one row more than the limit when there are more."""

    rows: tuple[tuple[Value, ...], ...]
    totals: dict[str, Value]
    complete_through: int | None


class NoEvents:
    """Stands for events where rollups have everything."""

    def register(self, connection: Connection, name: str = "events") -> None:
        """Makes no view: nothing asks for it."""


class HistoryAnswer(RollupAnswer):
    """Answers history questions."""

    async def of(self, site: Site, query: HistoryQuery) -> HistoryReport:
        """The report; see `HistoryReport`. Reads only, so it may be repeated."""
        asked = self._counted(site, query, SiteDays(site.timezone, query.from_date, query.to_date))
        counted, comparison = await asyncio.gather(asked, self._comparison(site, query))
        return HistoryReport(
            columns=(*query.by, *query.metrics),
            rows=counted.rows[: query.limit],
            totals=counted.totals,
            comparison=comparison,
            complete_through=counted.complete_through,
            truncated=len(counted.rows) > query.limit,
        )

    async def _comparison(self, site: Site, query: HistoryQuery) -> HistoryComparison | None:
        if query.compare is None:
            return None
        days = compared_days(query, site.timezone)
        until = compared_until(query, site.timezone, self._clock())
        counted = await self._counted(site, query, days, until)
        return HistoryComparison(
            from_date=days.from_date,
            to_date=days.to_date,
            until=until,
            rows=counted.rows[: query.limit],
            totals=counted.totals,
        )

    async def _counted(self, site: Site, query: HistoryQuery, days: SiteDays, until_ms: int | None = None) -> Counted:
        """`until_ms`: the totals are of what happened before it."""
        asked = _measure(query, days)
        so_far = days if until_ms is None else replace(days, end_ms=until_ms)
        margin = MARGIN_MS if asked.needs_sessions else 0
        events = await self._source.events(site.name, days.from_ms - margin, days.to_ms + margin)
        complete_through = events.complete_through
        rows, total = Pieces("day", ranges=(days,)), Pieces("day", ranges=(so_far,))
        rollups = self._rollups if may_use_rollups(query) else None
        if rollups is not None:
            rows, total = await self._pieces(rollups.store, site, query, days, so_far, events)
        there: FoundEvents | NoEvents = events
        if ranges := (*rows.all_ranges(), *total.all_ranges()):
            first, last = min(one.from_ms for one in ranges), max(one.to_ms for one in ranges)
            if (first, last) != (days.from_ms, days.to_ms):
                there = await self._source.events(site.name, first - margin, last + margin)
        else:
            there = NoEvents()

        def work(connection: Connection) -> tuple[Rows, Rows]:
            of_rows, of_total = asked.groupings
            wanted = (Wanted(ROWS, of_rows, rows), Wanted(TOTAL, of_total, total))
            count_pieces(connection, None if rollups is None else rollups.storage, asked, wanted)
            return (
                present(connection, ROWS, query.by, query.metrics, query.limit + 1),
                present(connection, TOTAL, (), query.metrics, 1),
            )

        found, [sums] = await self._engine.call(there, work)
        if query.by == ("time",):
            found = self._filled(found, query, days)[: query.limit + 1]
        labelled = tuple(_labelled(row, query, days) for row in found)
        return Counted(labelled, dict(zip(query.metrics, sums, strict=True)), complete_through)

    async def _pieces(
        self,
        store: RollupStore,
        site: Site,
        query: HistoryQuery,
        days: SiteDays,
        so_far: SiteDays,
        events: FoundEvents,
    ) -> tuple[Pieces, Pieces]:
        state = await store.days(site.name, site.timezone, days.from_date, days.to_date, events)
        periods: dict[Granularity, dict[date, Rollup]] = {
            granularity: await store.find(site.name, granularity, days.from_date, days.to_date)
            for granularity in PERIODS
        }
        return pieces_of_rows(query, days, state, periods), pieces_of_total(so_far, state, periods)

    def _filled(self, rows: Rows, query: HistoryQuery, days: SiteDays) -> Rows:
        """A row for every period of the range that has begun."""
        found = {row[0]: row for row in rows}
        nothing = [None if name in SESSION_METRICS and name != "sessions" else 0 for name in query.metrics]
        now = self._clock()
        periods = days.periods(query.granularity)
        wanted = [period for period in periods if days.begins_ms(query.granularity, period) <= now]
        return [found.get(period, (period, *nothing)) for period in sorted({*wanted, *found})]


def _measure(query: HistoryQuery, days: SiteDays) -> Measure:
    """The rows and the total of a question."""
    return Measure(
        days,
        (Grouping(query.by, query.granularity), Grouping(())),
        query.bots,
        None if query.filter is None else compile_condition(query.filter),
        of_events=bool(set(query.metrics) & set(EVENT_METRICS)),
        of_sessions=bool(set(query.metrics) & set(SESSION_METRICS)),
        of_visitors="visitors" in query.metrics,
    )


def _labelled(row: Sequence[Any], query: HistoryQuery, days: SiteDays) -> tuple[Value, ...]:
    """The row with its time as a date."""
    keys = (
        days.label(query.granularity, value) if name == "time" else value
        for name, value in zip(query.by, row, strict=False)
    )
    return (*keys, *row[len(query.by) :])

"""Answers a history question: which events and rollups to read, what to count, and how the rows come out."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pistats.clock import Clock
from pistats.reports.history import (
    EVENT_METRICS,
    SESSION_METRICS,
    HistoryComparison,
    HistoryQuery,
    HistoryReport,
    Value,
)
from pistats.reports.source import Source
from pistats.sites import Site
from pistats.warehouse.condition import Condition, compile_condition
from pistats.warehouse.engine import Connection, QueryEngine
from pistats.warehouse.measures import Grouping, Measure, Rows, bucket_parts, measure, present
from pistats.warehouse.periods import SiteDays
from pistats.warehouse.sessions import MARGIN_MS

Counted = tuple[tuple[tuple[Value, ...], ...], dict[str, Value], int | None]
"""Rows (one more than the limit when there are more), totals, complete_through."""


class HistoryAnswer:
    """Answers history questions of any site."""

    def __init__(self, source: Source, engine: QueryEngine, clock: Clock) -> None:
        self._source = source
        self._engine = engine
        self._clock = clock

    async def of(self, site: Site, query: HistoryQuery) -> HistoryReport:
        """The report; see `HistoryReport`. Reads only, so it may be repeated."""
        condition = None if query.filter is None else compile_condition(query.filter)
        days = SiteDays(site.timezone, query.from_date, query.to_date)
        rows, totals, complete_through = await self._counted(site, query, condition, days)
        return HistoryReport(
            columns=(*query.by, *query.metrics),
            rows=rows[: query.limit],
            totals=totals,
            comparison=await self._comparison(site, query, condition) if query.compare else None,
            complete_through=complete_through,
            truncated=len(rows) > query.limit,
        )

    async def _comparison(self, site: Site, query: HistoryQuery, condition: Condition | None) -> HistoryComparison:
        to_date = query.from_date - timedelta(days=1)
        from_date = query.from_date - timedelta(days=query.days)
        rows, totals, _ = await self._counted(site, query, condition, SiteDays(site.timezone, from_date, to_date))
        return HistoryComparison(from_date=from_date, to_date=to_date, rows=rows[: query.limit], totals=totals)

    async def _counted(self, site: Site, query: HistoryQuery, condition: Condition | None, days: SiteDays) -> Counted:
        asked = Measure(
            days,
            (Grouping(query.by, query.granularity), Grouping(())),
            query.bots,
            condition,
            of_events=bool(set(query.metrics) & set(EVENT_METRICS)),
            of_sessions=bool(set(query.metrics) & set(SESSION_METRICS)),
        )
        margin = MARGIN_MS if asked.needs_sessions else 0
        events = await self._source.events(site.name, days.from_ms - margin, days.to_ms + margin)

        def work(connection: Connection) -> tuple[Rows, Rows]:
            measure(connection, asked, bucket_parts(connection))
            limit = query.limit + 1
            return present(connection, 0, query.by, query.metrics, limit), present(connection, 1, (), query.metrics, 1)

        rows, [total] = await self._engine.call(events, work)
        if query.by == ("time",):
            rows = self._filled(rows, query, days)[: query.limit + 1]
        totals = dict(zip(query.metrics, total, strict=True))
        return tuple(_labelled(row, query, days) for row in rows), totals, events.complete_through

    def _filled(self, rows: Rows, query: HistoryQuery, days: SiteDays) -> Rows:
        """A row for every period of the range that has begun."""
        found = {row[0]: row for row in rows}
        nothing = [None if name in SESSION_METRICS and name != "sessions" else 0 for name in query.metrics]
        now = self._clock()
        wanted = [
            period for period in days.periods(query.granularity) if days.begins_ms(query.granularity, period) <= now
        ]
        return [found.get(period, (period, *nothing)) for period in sorted({*wanted, *found})]


def _labelled(row: Sequence[Any], query: HistoryQuery, days: SiteDays) -> tuple[Value, ...]:
    """The row with its time as a date."""
    keys = (
        days.label(query.granularity, value) if name == "time" else value
        for name, value in zip(query.by, row, strict=False)
    )
    return (*keys, *row[len(query.by) :])

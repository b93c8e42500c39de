"""Retention as it is counted with every commit: the plain question without reading a single event."""

from datetime import date
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from pistats.clock import Clock
from pistats.reports.retention import RetentionQuery, RetentionReport, grid, question, whole_periods
from pistats.sites import Site
from pistats.warehouse.cohorts import CohortCounts
from pistats.warehouse.engine import Source
from pistats.warehouse.periods import SiteDays, days_of, next_period


def is_counted(query: RetentionQuery) -> bool:
    """True when the cells answer the query: cohorts by the first event, any event, in exactly the period."""
    plain = query.event is None and query.return_event is None and query.filter is None
    return plain and query.mode == "first" and query.returns == "on" and query.week_start == "monday"


class CellsAnswer:
    """Reads the cells of `pistats.visitors.retention`: a document for each cohort and partition."""

    def __init__(self, source: Source, group: AsyncDatabase[dict[str, Any]], clock: Clock) -> None:
        self._source = source
        self._cells = group["retention"]
        self._clock = clock

    async def of(self, site: Site, query: RetentionQuery) -> RetentionReport:
        """The same numbers as the report that counts events, a commit after the event. Only where `is_counted`."""
        days = whole_periods(site.timezone, query)
        now = self._clock()
        # No events are wanted: only how far the group has come.
        complete_through = (await self._source.events(site.name, now, now + 1)).complete_through
        through = now if complete_through is None else min(now, complete_through)
        counts = await self._counts(site, query, days)
        asked = question(query, days)
        cohorts = grid(counts, asked, on_or_after=False, now_ms=now, through_ms=through)
        return RetentionReport(cohorts=cohorts, complete_through=complete_through)

    async def _counts(self, site: Site, query: RetentionQuery, days: SiteDays) -> CohortCounts:
        counts = CohortCounts({}, {}, {})
        asked = {"_id.site": site.name, "_id.granularity": query.granularity}
        first, last = days.from_date.isoformat(), days.to_date.isoformat()
        async for document in self._cells.find({**asked, "_id.cohort": {"$gte": first, "$lte": last}}):
            period = date.fromisoformat(document["_id"]["cohort"])
            cohort = days_of(period)
            counts.sizes[cohort] = counts.sizes.get(cohort, 0) + document["size"]
            for returned in document["returned"]:
                cell = (cohort, days_of(period))
                counts.returned[cell] = counts.returned.get(cell, 0) + returned
                period = next_period(period, query.granularity)
        return counts

"""Who is in one cell of a retention grid."""

from dataclasses import dataclass
from datetime import date

from pistats.errors import QueryError
from pistats.reports.history import MAX_DAYS
from pistats.reports.retention import RetentionQuery, question, whole_periods
from pistats.sites import Site
from pistats.warehouse.cohorts import visitors_of_cell
from pistats.warehouse.engine import Connection, QueryEngine, Source
from pistats.warehouse.periods import DAY_MS, days_of

MAX_VISITORS = 500
"""As many as anyone looks through."""


@dataclass(frozen=True, slots=True)
class CellQuery:
    """The visitors of the cohort that begins on `start`, who returned in period `n` after it."""

    grid: RetentionQuery
    start: date
    n: int
    limit: int = MAX_VISITORS

    def __post_init__(self) -> None:
        if not 0 <= self.n <= MAX_DAYS or self.start > self.grid.to_date:
            raise QueryError("There is no such cell in this grid: click one that is shown.")
        if not 1 <= self.limit <= MAX_VISITORS:
            raise QueryError(f"`limit` is {self.limit}; it has to be from 1 to {MAX_VISITORS}.")


@dataclass(frozen=True, slots=True)
class CellVisitors:
    """Visitors by their id with the time (Unix ms) of their last event in the range, latest first; `total`: all."""

    visitors: tuple[tuple[str, int], ...]
    total: int


class CellAnswer:
    """Finds the visitors of a cell of any site."""

    def __init__(self, source: Source, engine: QueryEngine) -> None:
        self._source = source
        self._engine = engine

    async def of(self, site: Site, query: CellQuery) -> CellVisitors:
        """The visitors; see `CellVisitors`. Raises QueryError: the grid has no such cell. May be repeated."""
        grid = query.grid
        days = whole_periods(site.timezone, grid)
        periods = days.periods(grid.granularity, grid.week_start)
        cohort = days_of(query.start)
        if cohort not in periods or periods.index(cohort) + query.n >= len(periods):
            raise QueryError("There is no such cell in this grid: click one that is shown.")
        period = periods[periods.index(cohort) + query.n]
        asked, later = question(grid, days), grid.returns == "on_or_after"

        def work(connection: Connection) -> CellVisitors:
            found, total = visitors_of_cell(connection, asked, cohort, period, or_later=later, limit=query.limit)
            return CellVisitors(tuple(found), total)

        events = await self._source.events(site.name, 0, days.to_ms + DAY_MS)
        return await self._engine.call(events, work)

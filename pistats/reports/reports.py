"""All reports of one consumer group behind one object: built once per process, shared by every request."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from pistats.clock import Clock, now_ms
from pistats.reports.answer import RollupFiles
from pistats.reports.events import EventsAnswer, EventsPage, EventsQuery
from pistats.reports.funnel import FunnelAnswer, FunnelQuery, FunnelReport
from pistats.reports.history import HistoryQuery, HistoryReport
from pistats.reports.history_answer import HistoryAnswer
from pistats.reports.ledger import LedgerRow, ledger_rows
from pistats.reports.properties import PropertiesAnswer, PropertyQuery, PropertyReport
from pistats.reports.retention import RetentionAnswer, RetentionQuery, RetentionReport
from pistats.reports.retention_cells import CellsAnswer
from pistats.reports.retention_visitors import CellAnswer, CellQuery, CellVisitors
from pistats.reports.visitor import VisitorAnswer, VisitorReport
from pistats.sites import Site
from pistats.warehouse.engine import QueryEngine, Source
from pistats.warehouse.rollup_files import RollupStore
from pistats.warehouse.storage import Storage


class Reports:
    """Every report, from the warehouse's files and the chunks that wait: up to the second.

    All raise QueryError (ask differently), QueryTimeoutError (ask for less) and OverloadedError (too many at once).
    """

    def __init__(
        self,
        source: Source,
        engine: QueryEngine,
        group: AsyncDatabase[dict[str, Any]],
        system: AsyncDatabase[dict[str, Any]],
        root: str = "",
        clock: Clock = now_ms,
    ) -> None:
        self._source = source
        self._engine = engine
        self._group = group
        self._system = system
        self._root = root
        self._clock = clock
        rollups = RollupFiles(RollupStore(group), Storage(root)) if root else None
        self._history = HistoryAnswer(source, engine, clock, rollups)
        self._retention = RetentionAnswer(source, engine, clock, rollups)
        self._cell = CellAnswer(source, engine)
        self._cells = CellsAnswer(source, group, clock)
        self._funnel = FunnelAnswer(source, engine)
        self._events = EventsAnswer(source, engine)
        self._visitor = VisitorAnswer(source, engine, clock)
        self._properties = PropertiesAnswer(source, engine)

    async def history(self, site: Site, query: HistoryQuery) -> HistoryReport:
        """Metrics by time and dimension."""
        return await self._history.of(site, query)

    async def retention(self, site: Site, query: RetentionQuery) -> RetentionReport:
        """The cohorts of a range and their returns."""
        return await self._retention.of(site, query)

    async def retention_now(self, site: Site, query: RetentionQuery) -> RetentionReport:
        """The same from cells that move with every commit; only for what `retention_cells.is_counted` says."""
        return await self._cells.of(site, query)

    async def retention_visitors(self, site: Site, query: CellQuery) -> CellVisitors:
        """Who is in one cell of a retention grid."""
        return await self._cell.of(site, query)

    async def funnel(self, site: Site, query: FunnelQuery) -> FunnelReport:
        """How many visitors reached each step."""
        return await self._funnel.of(site, query)

    async def events(self, site: Site, query: EventsQuery) -> EventsPage:
        """Events one by one, with a cursor to the next page."""
        return await self._events.of(site, query)

    async def visitor(self, site: Site, visitor_id: str) -> VisitorReport:
        """Everything about one visitor."""
        return await self._visitor.of(site, visitor_id)

    async def properties(self, site: Site, query: PropertyQuery) -> PropertyReport:
        """The properties that come with an event, and the values of one of them."""
        return await self._properties.of(site, query)

    async def ledger(self, from_ms: int, to_ms: int) -> list[LedgerRow]:
        """What became of every record that was appended in [from, to), by minute and partition; of all sites."""
        return await ledger_rows(self._group, from_ms, to_ms)

"""One visitor: the sessions, the totals and the latest events."""

from dataclasses import dataclass
from typing import Any

from pistats.clock import Clock
from pistats.enrich.event import EnrichedEvent
from pistats.identity import bucket_of
from pistats.reports.events import check_visitor, complete_events
from pistats.sites import Site
from pistats.warehouse.condition import source_sql
from pistats.warehouse.engine import Connection, QueryEngine, Source, fetch
from pistats.warehouse.periods import DAY_MS
from pistats.warehouse.sessions import ARRIVAL, SessionPlan, build_sessions, first_ids_sql, session_id_of

TIMELINE_EVENTS = 500
SESSIONS = 500
"""The newest ones, for a page. All events are had from the events report, with this visitor."""

TRAITS = ("country", "region", "city", "language", "device", "browser", "os", "screen")


@dataclass(frozen=True, slots=True)
class VisitorSession:
    """One session. Times are Unix ms of event time; durations are ms, 0 for a bounce."""

    session_id: str
    start: int
    end: int
    events: int
    views: int
    bounce: bool
    duration_ms: int
    engaged_ms: int
    entry_page: str | None
    exit_page: str | None
    source: str | None
    channel: str | None
    campaign: str | None


@dataclass(frozen=True, slots=True)
class VisitorTotals:
    """Over everything that is kept of the visitor, bots' events left out. `first_time` is None: never seen."""

    events: int
    views: int
    sessions: int
    engaged_ms: int
    first_time: int | None
    last_time: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitorReport:
    """`sessions` newest first, `timeline` the newest events, oldest first. `traits`: the latest known."""

    visitor_id: str
    user_id: str | None
    traits: dict[str, Any]
    totals: VisitorTotals
    sessions: tuple[VisitorSession, ...]
    timeline: tuple[EnrichedEvent, ...]
    complete_through: int | None


class VisitorAnswer:
    """Looks up one visitor of any site."""

    def __init__(self, source: Source, engine: QueryEngine, clock: Clock) -> None:
        self._source = source
        self._engine = engine
        self._clock = clock

    async def of(self, site: Site, visitor_id: str) -> VisitorReport:
        """The report; see `VisitorReport`. Raises QueryError: this is no visitor's id."""
        check_visitor(visitor_id)
        events = await self._source.events(site.name, 0, self._clock() + DAY_MS)

        def work(connection: Connection) -> VisitorReport:
            return _report(connection, site.name, visitor_id, events.complete_through)

        return await self._engine.call(events, work)


def _report(connection: Connection, site: str, visitor_id: str, complete_through: int | None) -> VisitorReport:
    connection.execute(
        "CREATE TEMP TABLE near AS FROM events WHERE visitor_id = $visitor AND bucket = $bucket",
        {"visitor": visitor_id, "bucket": bucket_of(site, visitor_id)},
    )
    attributes = frozenset({"entry_page", "exit_page", *ARRIVAL})
    build_sessions(connection, SessionPlan("exclude", frozenset({"event_id"}), attributes, engaged=True, source="near"))
    connection.execute(
        "CREATE TEMP TABLE newest AS FROM near"
        f' ORDER BY event_time DESC, "partition" DESC, "offset" DESC LIMIT {TIMELINE_EVENTS}'
    )
    return VisitorReport(
        visitor_id=visitor_id,
        user_id=_latest(connection, "user_id"),
        traits={name: _latest(connection, name) for name in TRAITS},
        totals=_totals(connection),
        sessions=_sessions(connection, site, visitor_id),
        timeline=tuple(_with_sessions(connection, site)),
        complete_through=complete_through,
    )


def _totals(connection: Connection) -> VisitorTotals:
    sql = """SELECT coalesce(sum(events), 0)::BIGINT AS events, coalesce(sum(views), 0)::BIGINT AS views,
                    count(*) AS sessions, coalesce(sum(engaged_ms), 0)::BIGINT AS engaged_ms,
                    min(start_time) AS first_time, max(end_time) AS last_time FROM sessions"""
    return VisitorTotals(**fetch(connection, sql).to_pylist()[0])


def _sessions(connection: Connection, site: str, visitor_id: str) -> tuple[VisitorSession, ...]:
    sql = f"""
        SELECT first_ids, start_time AS start, end_time AS "end", events, views, bounce, duration_ms, engaged_ms,
               entry_page, exit_page, {source_sql("s.")} AS source, channel, campaign
        FROM sessions AS s JOIN ({first_ids_sql()}) USING (run)
        ORDER BY start_time DESC LIMIT {SESSIONS}"""
    rows = fetch(connection, sql).to_pylist()
    return tuple(VisitorSession(session_id_of(site, visitor_id, row.pop("first_ids")), **row) for row in rows)


def _with_sessions(connection: Connection, site: str) -> list[EnrichedEvent]:
    connection.execute("CREATE OR REPLACE TEMP VIEW events AS FROM near")
    return complete_events(connection, site, "newest")


def _latest(connection: Connection, field: str) -> Any:
    return connection.execute(f'SELECT arg_max("{field}", event_time) FROM near').fetchall()[0][0]

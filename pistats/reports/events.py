"""Events, one by one: every enriched event of a range, in event time, in pages."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from pistats.enrich.event import FIELDS, EnrichedEvent
from pistats.errors import QueryError
from pistats.identity import bucket_of
from pistats.reports.history import check_range
from pistats.sites import Site
from pistats.warehouse.condition import Condition, compile_condition, is_text
from pistats.warehouse.engine import Connection, QueryEngine, Source, fetch
from pistats.warehouse.filtered import KEYS, events_sql, parameters_of, prepare_sessions
from pistats.warehouse.periods import SiteDays
from pistats.warehouse.sessions import MARGIN_MS, SessionPlan, build_sessions, first_ids_sql, session_id_of

Key = tuple[int, int, int, str]
"""Event time, partition, offset, event id: one place in the order of all events."""

_KEYS = 'event_time, "partition", "offset", event_id'
_KEY_SQL = f"({_KEYS})"

MAX_VISITOR_CHARS = 128

MAX_EVENTS = 10_000
"""Of one page: some 10 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsQuery:
    """One page of events of a range of days in the site's zone, both inclusive. Bots are in it, flagged.

    `cursor`: the `next_cursor` of the page before; the rest of the query has to stay the same. `filter`: a condition.
    """

    from_date: date
    to_date: date
    visitor: str | None = None
    limit: int = 1_000
    cursor: str | None = None
    filter: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_range(self.from_date, self.to_date)
        if not 1 <= self.limit <= MAX_EVENTS:
            raise QueryError(f"`limit` is {self.limit}; it has to be from 1 to {MAX_EVENTS:,}.")
        if self.visitor is not None:
            check_visitor(self.visitor)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsPage:
    """Events with all of `FIELDS`, `properties` as an object, session and its pages as the warehouse knows them.

    A cursor names the last event of its page. Events that arrive later take their place in event time: following
    cursors never gives an event twice and skips none that was there when the first page was read.
    """

    events: tuple[EnrichedEvent, ...]
    next_cursor: str | None
    complete_through: int | None


class EventsAnswer:
    """Gives pages of events of any site."""

    def __init__(self, source: Source, engine: QueryEngine) -> None:
        self._source = source
        self._engine = engine

    async def of(self, site: Site, query: EventsQuery) -> EventsPage:
        """The page; see `EventsPage`. Reads only, so it may be repeated."""
        days = SiteDays(site.timezone, query.from_date, query.to_date)
        after = (days.from_ms - 1, 0, 0, "") if query.cursor is None else decode_cursor(query.cursor)
        start = max(days.from_ms, after[0])
        events = await self._source.events(site.name, start - MARGIN_MS, days.to_ms + MARGIN_MS)

        condition = None if query.filter is None else compile_condition(query.filter)

        def work(connection: Connection) -> list[dict[str, Any]]:
            prepare_sessions(connection, [condition])
            there = pick_page(connection, site.name, query, condition, days.to_ms, after)
            return complete_events(connection, site.name, "page") if there else []

        found = await self._engine.call(events, work)
        more = len(found) > query.limit
        page = found[: query.limit]
        return EventsPage(
            events=tuple(page),
            next_cursor=encode_cursor(page[-1]) if more else None,
            complete_through=events.complete_through,
        )


def pick_page(
    connection: Connection, site: str, query: EventsQuery, condition: Condition | None, to_ms: int, after: Key
) -> bool:
    """Make the table `page`: the first `limit` events behind `after` and one more, before `to_ms`. False: none.

    The keys are found first, so that only the rows of the page are read in full.
    """
    where = f"event_time < {int(to_ms)} AND event_time >= $time AND {_KEY_SQL} > ($time, $partition, $offset, $id)"
    given: dict[str, Any] = dict(zip(("time", "partition", "offset", "id"), after, strict=True))
    if query.visitor is not None:
        where += f" AND visitor_id = $visitor AND bucket = {bucket_of(site, query.visitor)}"
        given["visitor"] = query.visitor
    source = events_sql(condition)
    given |= parameters_of(condition)
    last = connection.execute(
        f"SELECT {_KEYS} FROM (SELECT {_KEYS} FROM {source} WHERE {where} ORDER BY ALL LIMIT {query.limit + 1})"
        " ORDER BY ALL DESC LIMIT 1",
        given,
    ).fetchall()
    if not last:
        return False
    given |= dict(zip(("last_time", "last_partition", "last_offset", "last_id"), last[0], strict=True))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE page AS FROM {source} WHERE {where} AND event_time <= $last_time"
        # DuckDB 2.0 makes a BETWEEN of two comparisons of the same tuple, and then refuses it.
        f" AND (event_time < $last_time OR {_KEY_SQL} <= ($last_time, $last_partition, $last_offset, $last_id))",
        given,
    )
    return True


def complete_events(connection: Connection, site: str, table: str) -> list[EnrichedEvent]:
    """The events of a table in event time, with their sessions as the view `events` has them."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE near AS FROM events"
        f" SEMI JOIN (SELECT DISTINCT bucket, visitor_id FROM {table} WHERE NOT is_bot) USING (bucket, visitor_id)"
    )
    build_sessions(
        connection, SessionPlan("exclude", frozenset(KEYS), frozenset({"entry_page", "exit_page"}), source="near")
    )
    fields = ", ".join(f'e."{name}"' for name in FIELDS if name not in ("entry_page", "exit_page"))
    rows = fetch(
        connection,
        f"""
        SELECT {fields}, s.entry_page, s.exit_page, f.first_ids
        FROM {table} AS e
        LEFT JOIN marked AS m
          ON NOT e.is_bot AND e.visitor_id = m.visitor_id AND e.event_time = m.event_time AND e.event_id = m.event_id
         AND e."partition" = m."partition" AND e."offset" = m."offset"
        LEFT JOIN sessions AS s ON m.run = s.run
        LEFT JOIN ({first_ids_sql()}) AS f ON m.run = f.run
        ORDER BY e.event_time, e."partition", e."offset", e.event_id""",
    )
    return [_completed(site, row) for row in rows.to_pylist()]


def encode_cursor(event: EnrichedEvent) -> str:
    """The place right after an event, as text for a URL."""
    key = [event["event_time"], event["partition"], event["offset"], event["event_id"]]
    return urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def decode_cursor(cursor: str) -> Key:
    """What `encode_cursor` gave. Raises QueryError for anything else."""
    try:
        time, partition, offset, event_id = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        whole = all(type(one) is int and abs(one) < 2**62 for one in (time, partition, offset))
        if whole and type(event_id) is str:
            return time, partition, offset, event_id
    except (ValueError, TypeError):
        pass
    raise QueryError("`cursor` is not one that was given out: begin without it.")


def check_visitor(visitor_id: str) -> None:
    """Raises QueryError unless it can be a visitor's id."""
    if not visitor_id or not is_text(visitor_id, MAX_VISITOR_CHARS):
        raise QueryError(f"A visitor's id has 1 to {MAX_VISITOR_CHARS} characters.")


def _completed(site: str, row: dict[str, Any]) -> EnrichedEvent:
    first_ids = row.pop("first_ids")
    row["session_id"] = session_id_of(site, row["visitor_id"], first_ids) if first_ids else None
    row["properties"] = None if row["properties"] is None else orjson.loads(row["properties"])
    return {name: row[name] for name in FIELDS}

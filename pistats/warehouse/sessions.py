"""Sessions in event time, from whatever events are there by now: late ones join sessions as if they had been on time.

The same rules as `pistats.enrich.session.Visit`, over all events of a visitor at once: more than 30 minutes without an
event begin a new session, and so does an event more than 24 hours after the session's first. Entry and exit are the
earliest and latest page view, the source is that of the earliest arrival.

Sessions belong to a range when they START in it. To get its edges right, events are read from `MARGIN_MS` before to
`MARGIN_MS` after it. Only a visitor who never paused for 30 minutes during the whole margin is cut at another place
than by reading from further back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from xxhash import xxh3_64_hexdigest

from pistats.enrich.session import BOUNCE_MS, CAP_MS, ENGAGEMENT, GAP_MS, PAGE_VIEW, PASSIVE
from pistats.warehouse.engine import Connection
from pistats.warehouse.periods import DAY_MS

MARGIN_MS = DAY_MS
"""Read before and after a range: the longest session."""

CAP_PARTS = 1_000_000
"""More than the sessions that a visitor can have without a pause: 2,700 years of them."""

VIEW_SQL = f"name = '{PAGE_VIEW}'"
"""The condition that an event is a page view."""

BOTS_SQL = {"exclude": "NOT is_bot", "include": "true", "only": "is_bot"}

FIRST_KNOWN = ("country", "device", "browser", "os", "language")
"""Attributes of a session that are those of its first event that has them."""

ARRIVAL = ("source", "medium", "campaign", "channel")

_KEYS = ("visitor_id", "event_time", "name")
_SAME_TIME = ("partition", "offset")
"""The order of a visitor's events of one moment."""

_SO_FAR = "(ROWS UNBOUNDED PRECEDING)"
_PASSIVE = ", ".join(f"'{name}'" for name in sorted(PASSIVE))

_REPORTED_SQL = f"""
    CASE WHEN name = '{ENGAGEMENT}' THEN TRY_CAST((properties->'$.engaged_ms')::VARCHAR AS DOUBLE) END"""
"""What an event reports of engaged time if it is a number: as JSON has it, text has quotes and is none."""

_ENGAGED_SQL = f"coalesce(sum(trunc(reported_ms)::BIGINT) FILTER (reported_ms BETWEEN 0 AND {CAP_MS}), 0)"
"""Engaged time of a session, in ms: `pistats.enrich.session.engaged_ms_of`, added up."""

_ATTRIBUTES = {
    "entry_page": f"arg_min(path, (event_time, path)) FILTER ({VIEW_SQL} AND path <> '')",
    "exit_page": f"arg_max(path, (event_time, path)) FILTER ({VIEW_SQL} AND path <> '')",
    **{name: f"arg_min({name}, place)" for name in FIRST_KNOWN},
}
_ARRIVAL_SQL = f"""
    arg_min({{{", ".join(f"'{name}': {name}" for name in ARRIVAL)}}},
            (event_time, {", ".join(f"coalesce({name}, '')" for name in ARRIVAL)}))
    FILTER ({VIEW_SQL} AND channel IS NOT NULL)"""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What is needed of events and sessions: everything else is not read.

    `source`: the events' view or table. `bots`: whose events count. `event_columns`: kept beside time and name.
    `attributes`: of sessions, out of `entry_page`, `exit_page`, `FIRST_KNOWN` and `ARRIVAL`. `engaged`: engaged time,
    which is read from properties.
    """

    bots: str = "exclude"
    event_columns: frozenset[str] = field(default_factory=frozenset)
    attributes: frozenset[str] = field(default_factory=frozenset)
    engaged: bool = False
    source: str = "events"

    @property
    def in_place(self) -> bool:
        """True when it matters which of two events of one moment is the first."""
        return bool(self.attributes & set(FIRST_KNOWN))

    def columns(self) -> list[str]:
        """The event columns to read."""
        wanted = {*_KEYS, *self.event_columns}
        if self.attributes & {"entry_page", "exit_page"}:
            wanted.add("path")
        if self.attributes & set(ARRIVAL):
            wanted |= set(ARRIVAL)
        if self.in_place:
            wanted |= set(_SAME_TIME)
        return sorted(wanted | (self.attributes & set(FIRST_KNOWN)))


def build_sessions(connection: Connection, plan: SessionPlan, buckets: tuple[int, int] | None = None) -> None:
    """Make the tables `marked` (events with the numbers of their `visitor` and `run`) and `sessions` from the events.

    A visitor's events until a pause are a run, which is a session: its number is the key of both tables, and means
    nothing elsewhere. `buckets`: only visitors of these buckets, both ends included: the results of
    parts that have all buckets together add up to those of the whole. Replaces what an earlier call made.
    """
    _mark(connection, plan, buckets)
    _apply_cap(connection)
    _aggregate(connection, plan)


def first_ids_sql() -> str:
    """A SELECT of (run, first_ids): the ids of the events with which each session of `sessions` starts.

    Usually one. `session_id_of` makes the session's id of them. The plan's `event_columns` have `event_id`.
    """
    return """SELECT run, list(event_id) AS first_ids FROM marked JOIN sessions USING (run)
              WHERE event_time = start_time GROUP BY run"""


def session_id_of(site: str, visitor_id: str, first_ids: Iterable[str]) -> str:
    """The id of a session: the same as its first event gets when it is counted live."""
    return min(xxh3_64_hexdigest(f"{site}\x1f{visitor_id}\x1f{event_id}".encode()) for event_id in first_ids)


def bucket_sql(buckets: tuple[int, int] | None) -> str:
    """The condition that a visitor is in these buckets."""
    return "true" if buckets is None else f"bucket BETWEEN {int(buckets[0])} AND {int(buckets[1])}"


def _mark(connection: Connection, plan: SessionPlan, buckets: tuple[int, int] | None) -> None:
    columns = ", ".join(f'"{column}"' for column in plan.columns())
    engaged = f", {_REPORTED_SQL} AS reported_ms" if plan.engaged else ""
    order = ", ".join(f'"{key}"' for key in ("visitor_id", "event_time", *(_SAME_TIME if plan.in_place else ())))
    place = ", row_number() OVER () AS place" if plan.in_place else ""
    dropped = "" if "visitor_id" in plan.event_columns else ", visitor_id"
    # Sorted once, then numbered row by row: windows without PARTITION BY or ORDER BY stream over the rows as they come,
    # at half the cost of windows that sort by themselves.
    connection.execute("SET preserve_insertion_order = true")
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE marked AS
        SELECT * EXCLUDE (other, later{dropped}), sum(other::INTEGER) OVER {_SO_FAR}::BIGINT AS visitor,
               sum((other OR later)::INTEGER) OVER {_SO_FAR}::BIGINT AS run{place}
        FROM (
            SELECT *, visitor_id IS DISTINCT FROM lag(visitor_id) OVER () AS other,
                   coalesce(event_time - lag(event_time) OVER () > {GAP_MS}, true) AS later
            FROM (
                SELECT {columns}{engaged} FROM {plan.source} WHERE {BOTS_SQL[plan.bots]} AND {bucket_sql(buckets)}
                ORDER BY {order}
            )
        )""")


def _apply_cap(connection: Connection) -> None:
    """Cut runs longer than 24 hours: the next part begins with the first event more than 24 hours after this one's."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE long_runs AS
        SELECT run FROM marked GROUP BY run HAVING max(event_time) - min(event_time) > {CAP_MS}""")
    if not connection.execute("SELECT count(*) FROM long_runs").fetchall()[0][0]:
        return
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE run_parts AS
        WITH RECURSIVE times AS MATERIALIZED (SELECT run, event_time FROM marked SEMI JOIN long_runs USING (run)),
        parts AS (
            SELECT run, min(event_time) AS start, 0 AS part FROM times GROUP BY run
            UNION ALL
            SELECT t.run, min(t.event_time), p.part + 1
            FROM parts AS p JOIN times AS t ON t.run = p.run AND t.event_time > p.start + {CAP_MS}
            GROUP BY t.run, p.part
        )
        SELECT * FROM parts""")
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE marked AS
        SELECT m.* REPLACE (m.run * {CAP_PARTS} + coalesce(p.part, 0) AS run)
        FROM marked AS m ASOF LEFT JOIN run_parts AS p ON m.run = p.run AND m.event_time >= p.start""")


def _aggregate(connection: Connection, plan: SessionPlan) -> None:
    attributes = [f"{_ATTRIBUTES[name]} AS {name}" for name in sorted(plan.attributes & _ATTRIBUTES.keys())]
    arrival = bool(plan.attributes & set(ARRIVAL))
    if arrival:
        attributes.append(f"{_ARRIVAL_SQL} AS arrival")
    unpacked = "".join(f", arrival.{name} AS {name}" for name in ARRIVAL) if arrival else ""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE sessions AS
        SELECT * {"EXCLUDE (arrival)" if arrival else ""}{unpacked},
               CASE WHEN bounce THEN 0 ELSE end_time - start_time END AS duration_ms
        FROM (
            SELECT *, views = 1 AND NOT interactive AND end_time - start_time < {BOUNCE_MS} AS bounce
            FROM (
                SELECT run, min(event_time) AS start_time, max(event_time) AS end_time, count(*) AS events,
                       count(*) FILTER ({VIEW_SQL}) AS views, bool_or(name NOT IN ({_PASSIVE})) AS interactive,
                       {_ENGAGED_SQL if plan.engaged else "0"}::BIGINT AS engaged_ms
                       {"".join(f", {sql}" for sql in attributes)}
                FROM marked GROUP BY run
            )
        )""")

"""Counts of events and sessions by time and dimension: what history reports show.

What a measure and a dimension are is said at the top, once: `dimensions` counts the same in rollups, out of numbers.
Everything is kept as sums that add up (`SUMS`): over buckets, because a visitor is in one bucket only, and over
periods, but for `visitors`, which are distinct within their row's own period. Rates are made of sums at the very end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pistats.settings import BUCKETS
from pistats.warehouse.condition import SESSION_FIELDS, Condition, source_sql
from pistats.warehouse.engine import Connection
from pistats.warehouse.periods import Granularity, SiteDays
from pistats.warehouse.sessions import (
    ARRIVAL,
    BOTS_SQL,
    FIRST_KNOWN,
    VIEW_SQL,
    SessionPlan,
    bucket_sql,
    build_sessions,
)

EVENT_SUMS = ("visitors", "views", "events")
"""Of the events of a period: different visitors, page views (`VIEW_SQL`), all events."""

SESSION_VALUES = {
    "bounces": "bounce::BIGINT",
    "duration_ms": "duration_ms",
    "session_views": "views",
    "engaged_ms": "engaged_ms",
}
"""What is added up of the sessions that start in the period, beside their number: out of the table `sessions`."""

SESSION_SUMS = ("sessions", *SESSION_VALUES)

SUMS = (*EVENT_SUMS, *SESSION_SUMS)
"""Columns of every result."""

SESSION_DIMENSIONS = ("entry_page", "exit_page", "source", "channel", "campaign")
"""Of the session, for events, too."""

OWN_DIMENSIONS = {"page": "path", "event": "name", **{name: name for name in FIRST_KNOWN}}
"""Of the event itself: dimension and column."""

DIMENSIONS = (*OWN_DIMENSIONS, *SESSION_DIMENSIONS)

SESSION_COLUMNS = {"page": "entry_page", **{name: name for name in (*FIRST_KNOWN, *SESSION_DIMENSIONS)}}
"""Of a session: dimension and column of `sessions`; its source is shown by `source_sql`. By event, which is missing, a
session counts once for every name that its events have."""

Rows = list[tuple[Any, ...]]

PART_EVENTS = 2_000_000
"""Events that are put into sessions at once: some 500 MB with all dimensions."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """One table of sums: by dimensions, and by `time` in periods of a granularity. No `by`: one row, the totals."""

    by: tuple[str, ...]
    granularity: Granularity = "day"


@dataclass(frozen=True, slots=True)
class Measure:
    """What is counted, and of which events. `days` is the range; `source`, a relation, has its margins, too.

    `of_visitors`: their number is asked for, also over several ranges together; with `keep_visitors`, `measure` can
    say who was seen.
    """

    days: SiteDays
    groupings: tuple[Grouping, ...]
    bots: str = "exclude"
    condition: Condition | None = None
    of_events: bool = True
    of_sessions: bool = True
    of_visitors: bool = True
    source: str = "events"
    keep_visitors: bool = False

    @property
    def needs_sessions(self) -> bool:
        """False when the events alone answer it, which is several times as fast."""
        asked = {name for grouping in self.groupings for name in grouping.by}
        filtered = self.condition is not None and self.condition.needs_session
        return self.of_sessions or filtered or bool(asked & set(SESSION_DIMENSIONS))

    def wants(self, sum_: str) -> bool:
        """Whether one of `SUMS` is asked for."""
        if sum_ == "visitors":
            return self.of_visitors
        return self.of_events if sum_ in EVENT_SUMS else self.of_sessions

    def plan(self) -> SessionPlan:
        """What has to be read of events and sessions."""
        asked = {name for grouping in self.groupings for name in grouping.by}
        columns = {OWN_DIMENSIONS[name] for name in asked & OWN_DIMENSIONS.keys()}
        attributes = {SESSION_COLUMNS[name] for name in asked & SESSION_COLUMNS.keys()}
        if self.keep_visitors:
            columns |= {"bucket", "visitor_id"}
        if self.condition is not None:
            columns |= self.condition.event_columns
            attributes |= set(SESSION_FIELDS) if self.condition.needs_session else set()
        if attributes & set(ARRIVAL):
            attributes |= set(ARRIVAL)
        return SessionPlan(self.bots, frozenset(columns), frozenset(attributes), self.of_sessions, self.source)


def bucket_parts(
    connection: Connection, part_events: int = PART_EVENTS, source: str = "events"
) -> list[tuple[int, int]]:
    """Ranges of buckets that hold some `part_events` events of the relation each."""
    events = connection.execute(f"SELECT count(*) FROM {source}").fetchall()[0][0]
    parts = max(1, min(BUCKETS, -(-events // part_events)))
    edges = [BUCKETS * part // parts for part in range(parts + 1)]
    return [(low, high - 1) for low, high in pairwise(edges)]


def measure(
    connection: Connection,
    asked: Measure,
    parts: list[tuple[int, int]],
    tables: Sequence[str] | None = None,
    seen: Sequence[str | None] | None = None,
) -> None:
    """Add the sums of the events in these parts to the tables, by default `sums_0`, `sums_1` …, one per grouping.

    A table has the columns `k0`, `k1` … as in `by`, then `SUMS`; a key may have several rows, whose sums add up. `time`
    is a number as in `SiteDays.period_sql`. `seen`: where a table is named, who was seen goes there instead of their
    number: (bucket, visitor_id), and `value` if there is a dimension; it may be there twice.
    """
    tables = tables or [f"sums_{at}" for at in range(len(asked.groupings))]
    seen = seen or [None] * len(tables)
    create_sums(connection, asked.groupings, tables)
    for buckets in parts:
        _prepare(connection, asked, buckets)
        if asked.of_events:
            for table, grouping, people in zip(tables, asked.groupings, seen, strict=True):
                if people is not None:
                    _add_seen(connection, asked, grouping, people)
                _add_events(connection, asked, grouping, table, count_visitors=people is None)
        if asked.of_sessions:
            for table, grouping in zip(tables, asked.groupings, strict=True):
                _add_sessions(connection, asked, grouping, table)


def create_sums(connection: Connection, groupings: Sequence[Grouping], tables: Sequence[str]) -> None:
    """Make the tables of `measure`, empty, where there are none yet."""
    for table, grouping in zip(tables, groupings, strict=True):
        keys = [f"k{key} {'BIGINT' if name == 'time' else 'VARCHAR'}" for key, name in enumerate(grouping.by)]
        columns = ", ".join([*keys, *(f"{name} BIGINT" for name in SUMS)])
        connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} ({columns})")


METRICS_SQL = {
    "visitors": "coalesce(sum(visitors), 0)::BIGINT",
    "sessions": "coalesce(sum(sessions), 0)::BIGINT",
    "views": "coalesce(sum(views), 0)::BIGINT",
    "events": "coalesce(sum(events), 0)::BIGINT",
    "bounce_rate": "sum(bounces) / nullif(sum(sessions), 0)",
    "visit_duration": "sum(duration_ms) / 1000 / nullif(sum(sessions), 0)",
    "views_per_session": "sum(session_views) / nullif(sum(sessions), 0)",
    "engaged_time": "sum(engaged_ms) / 1000 / nullif(sum(sessions), 0)",
}
"""A report's metrics out of sums. A bounce rate is a share, durations are seconds per session."""


def present(connection: Connection, table: str, by: tuple[str, ...], metrics: tuple[str, ...], limit: int) -> Rows:
    """At most `limit` rows of a table of sums: the keys, then the metrics; by time, then the largest first."""
    keys = [f"k{key}" for key in range(len(by))]
    values = [f"{METRICS_SQL[name]} AS m{number}" for number, name in enumerate(metrics)]
    times = [key for key, name in zip(keys, by, strict=True) if name == "time"]
    order = [*times, "m0 DESC NULLS LAST", *(f"{key} NULLS LAST" for key in keys if key not in times)]
    group = f"GROUP BY {', '.join(keys)}" if keys else ""
    sql = f"SELECT {', '.join([*keys, *values])} FROM {table} {group} ORDER BY {', '.join(order)} LIMIT {int(limit)}"
    return connection.execute(sql).fetchall()


def _prepare(connection: Connection, asked: Measure, buckets: tuple[int, int]) -> None:
    """Make `picked`: the events that count, with their session's attributes where these are needed; and `sessions`."""
    plan = asked.plan()
    condition = asked.condition
    if not asked.needs_sessions:
        columns = ", ".join(f'"{name}"' for name in sorted({"event_time", "name", *plan.event_columns}))
        where = f"{BOTS_SQL[asked.bots]} AND {bucket_sql(buckets)} AND {asked.days.within_sql('event_time')}"
        source = f"(SELECT {columns}, visitor_id AS visitor FROM {asked.source} WHERE {where}) AS e"
    else:
        build_sessions(connection, plan, buckets)
        source = "marked AS e"
    of_session = sorted(plan.attributes & set(SESSION_FIELDS)) if asked.needs_sessions else []
    if condition is None and not of_session:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW picked AS FROM {source}")
        return
    joined = " LEFT JOIN sessions AS s ON e.run = s.run" if of_session else ""
    extra = "".join(f", s.{name} AS session_{name}" for name in of_session)
    if condition is None:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW picked AS SELECT e.*{extra} FROM {source}{joined}")
        return
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE picked AS SELECT e.*{extra} FROM {source}{joined} WHERE {condition.sql}",
        condition.parameters,
    )


def _add_events(
    connection: Connection, asked: Measure, grouping: Grouping, table: str, *, count_visitors: bool
) -> None:
    keys = [f"k{at}" for at in range(len(grouping.by))]
    selected = [f"{_event_key(asked, grouping, name)} AS {key}" for key, name in zip(keys, grouping.by, strict=True)]
    group = f"GROUP BY {', '.join(keys)}" if keys else ""
    connection.execute(f"""
        INSERT INTO {table} BY NAME
        SELECT {"".join(f"{key}, " for key in keys)} {"count(*)" if count_visitors else "0"} AS visitors,
               sum(seen_views) AS views, sum(seen) AS events
        FROM (SELECT {"".join(f"{one}, " for one in selected)} {"visitor, " if count_visitors else ""}
                     count(*) AS seen, count(*) FILTER ({VIEW_SQL}) AS seen_views
              FROM picked WHERE {asked.days.within_sql("event_time")} GROUP BY ALL) {group}""")


def _add_seen(connection: Connection, asked: Measure, grouping: Grouping, table: str) -> None:
    dimension = [f", {_event_key(asked, grouping, name)} AS value" for name in grouping.by if name != "time"]
    columns = f"bucket, visitor_id{''.join(dimension)}"
    people = f"SELECT DISTINCT {columns} FROM picked WHERE {asked.days.within_sql('event_time')}"
    connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} AS {people} LIMIT 0; INSERT INTO {table} {people}")


def _add_sessions(connection: Connection, asked: Measure, grouping: Grouping, table: str) -> None:
    keys = [_session_key(asked, grouping, name) for name in grouping.by]
    selected = "".join(f"{sql} AS k{at}, " for at, sql in enumerate(keys))
    names = ", ".join(f"k{at}" for at in range(len(keys)))
    added = ", ".join(f"sum({sql}) AS {name}" for name, sql in SESSION_VALUES.items())
    source = "sessions AS s"
    if "event" in grouping.by:
        source += " JOIN (SELECT DISTINCT run, name FROM picked) AS n USING (run)"
    elif asked.condition is not None:
        source += " SEMI JOIN picked USING (run)"
    connection.execute(f"""
        INSERT INTO {table} BY NAME
        SELECT {selected} count(*) AS sessions, {added}
        FROM {source} WHERE {asked.days.within_sql("start_time")} {"GROUP BY " + names if keys else ""}""")


def _event_key(asked: Measure, grouping: Grouping, name: str) -> str:
    if name == "time":
        return asked.days.period_sql(grouping.granularity, "event_time")
    if name == "source":
        return source_sql("session_")
    return f"session_{name}" if name in SESSION_DIMENSIONS else f'"{OWN_DIMENSIONS[name]}"'


def _session_key(asked: Measure, grouping: Grouping, name: str) -> str:
    if name == "time":
        return asked.days.period_sql(grouping.granularity, "s.start_time")
    if name == "source":
        return source_sql("s.")
    return "n.name" if name == "event" else f"s.{SESSION_COLUMNS[name]}"

"""Counts every dimension of a day at once, over people's events, and keeps who was seen with which values: a rollup.

By the definitions of `measures`, which answers one question with one or two groupings. Here are two dozen: so every
text becomes a number while it is read, sessions are found once, and the groups are those of whole numbers.
Consecutive events of a session that are alike in everything but page and name are one row for all other dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa

from pistats.warehouse.condition import DIRECT, source_sql
from pistats.warehouse.dimension_sums import DimensionSums, differs, places, slim
from pistats.warehouse.engine import Connection
from pistats.warehouse.measures import (
    DIMENSIONS,
    EVENT_SUMS,
    OWN_DIMENSIONS,
    SESSION_COLUMNS,
    SESSION_DIMENSIONS,
    SESSION_SUMS,
    SESSION_VALUES,
)
from pistats.warehouse.periods import Granularity, SiteDays
from pistats.warehouse.sessions import ARRIVAL, FIRST_KNOWN, VIEW_SQL, SessionPlan, bucket_sql, build_sessions

TOTAL = ""
"""The dimension of the rows that count everything."""

TEXTS = ("path", "name", *FIRST_KNOWN, *ARRIVAL)
"""Columns of events that are read as numbers."""

UNCODED = ("bucket", "is_bot", "visitor_id", "event_time", '"partition"', '"offset"', "properties")
"""What else sessions want of events."""

TEXT_OF = {**OWN_DIMENSIONS, "entry_page": "path", "exit_page": "path"}
"""Which column's values a dimension has; the others have those of the column of the same name."""

PLAN = SessionPlan(
    event_columns=frozenset(OWN_DIMENSIONS.values()),
    attributes=frozenset({*SESSION_COLUMNS.values(), *ARRIVAL}),
    engaged=True,
    source="coded",
)

Columns = dict[str, Any]
"""Arrays of the same length by name."""


@dataclass(frozen=True, slots=True)
class DimensionCounts:
    """What is counted of a range of days: the sums of each granularity by each dimension and in total; and everybody.

    `visitors`: (bucket, visitor_id) of who has an event in the range, by bucket and id. `seen`: for each dimension
    whose event had which value, each pair once, by visitor: the visitor's row, and a code as the sums have it.
    """

    sums: list[DimensionSums]
    visitors: pa.Table
    seen: dict[str, tuple[Any, Any]]


def count_dimensions(
    connection: Connection, days: SiteDays, granularities: Sequence[Granularity], buckets: tuple[int, int]
) -> DimensionCounts:
    """Of the view `events`, as far as it is in these buckets. Also leaves `sessions`."""
    visitors = _people(connection, days, buckets)
    values = _code_texts(connection, days, buckets)
    build_sessions(connection, PLAN, buckets)
    counting = _Counting.of(connection, days, granularities, values)
    order = np.argsort(visitors["bucket"].to_numpy(), kind="stable")
    row_of = np.empty(len(order) + 1, np.int32)
    row_of[order + 1] = np.arange(len(order))
    return DimensionCounts(
        [counting.sums(granularity, dimension) for granularity in granularities for dimension in (TOTAL, *DIMENSIONS)],
        visitors.take(pa.array(order)),
        {dimension: counting.seen(dimension, row_of) for dimension in DIMENSIONS},
    )


def _people(connection: Connection, days: SiteDays, buckets: tuple[int, int]) -> pa.Table:
    """Make `people`: who has an event in the range, by id, so that the row is the visitor's number in `marked`."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE people AS SELECT min(bucket) AS bucket, visitor_id FROM events
        WHERE NOT is_bot AND {bucket_sql(buckets)} AND {days.within_sql("event_time")}
        GROUP BY visitor_id ORDER BY visitor_id""")
    return connection.sql("FROM people").to_arrow_table()


def _code_texts(connection: Connection, days: SiteDays, buckets: tuple[int, int]) -> dict[str, pa.Array]:
    """Make `coded`: the events of `people` with an ENUM in place of each text; the values of each, sorted.

    Around the range only the visitors count who are there in it: most of the events before and after it are of others.
    """
    people = f"NOT is_bot AND {bucket_sql(buckets)}"
    mine = f"FROM events WHERE {people}"
    within = days.within_sql("event_time")
    values = {}
    for name in TEXTS:
        direct = f" UNION SELECT '{DIRECT}'" if name == "source" else ""
        found = f"SELECT DISTINCT {name} AS value {mine} AND {name} IS NOT NULL{direct}"
        connection.execute(f"CREATE OR REPLACE TEMP TYPE {name}_value AS ENUM (FROM ({found}) ORDER BY value)")
        listed = connection.sql(f"SELECT unnest(enum_range(NULL::{name}_value))::VARCHAR AS value").to_arrow_table()
        values[name] = listed["value"].combine_chunks()
    coded = ", ".join([*UNCODED, *(f"{name}::{name}_value AS {name}" for name in TEXTS)])
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW coded AS SELECT {coded} FROM events WHERE {people} AND {within}"
        f" UNION ALL SELECT {coded} FROM events SEMI JOIN people USING (visitor_id)"
        f" WHERE {people} AND NOT ({within})"
    )
    return values


@dataclass(frozen=True, slots=True)
class _Counting:
    """The events of the period, their stretches, and the sessions that start in it; codes as in `DimensionSums`.

    Each has a column for each granularity: the place in `periods`. A stretch is events that follow one another in a
    session and have the same of everything but page and name. `named`: a session for each name of its events.
    """

    periods: Columns
    values: dict[str, pa.Array]
    events: Columns
    stretches: Columns
    sessions: Columns
    named: Columns

    @classmethod
    def of(
        cls, connection: Connection, days: SiteDays, granularities: Sequence[Granularity], values: dict[str, pa.Array]
    ) -> "_Counting":
        """Of the tables `marked` and `sessions`."""
        periods: Columns = {one: np.array(days.periods(one), np.int64) for one in granularities}
        sessions, events = _read_sessions(connection, days, periods), _read_events(connection, days, periods)
        connection.execute("DROP TABLE marked")
        events["session"] = np.searchsorted(sessions["run"], events.pop("run")).astype(np.int32)
        named = _named(events, sessions, len(values["name"]) + 1)
        events = _by_visitor(_rows(events, events["inside"]))
        stretches = _stretches(events, sessions, (*periods,))
        events = {name: events[name] for name in (*periods, "visitor", "views", "path", "name")}
        sessions, named = _rows(sessions, sessions["inside"]), _rows(named, named["inside"])
        return cls(periods, values, events, stretches, sessions, named)

    def seen(self, dimension: str, row_of: Any) -> tuple[Any, Any]:
        """Each visitor's row and value once; `row_of`: the row of a visitor's number."""
        width = len(self.values[TEXT_OF.get(dimension, dimension)]) + 1
        events = self._events_of(dimension)
        pairs = row_of[events["visitor"]] * np.int64(width) + events[OWN_DIMENSIONS.get(dimension, dimension)]
        pairs.sort()
        rows, codes = np.divmod(pairs[differs(pairs)], width)
        return rows.astype(np.int32), codes.astype(np.int32)

    def _events_of(self, dimension: str) -> Columns:
        return self.events if dimension in ("page", "event") else self.stretches

    def sums(self, granularity: Granularity, dimension: str) -> DimensionSums:
        """Of one granularity by one dimension."""
        values = self.values[TEXT_OF.get(dimension, dimension)] if dimension else pa.array([], pa.string())
        width = len(values) + 1
        events = self._events_of(dimension)
        sessions = self.named if dimension == "event" else self.sessions
        of_event = OWN_DIMENSIONS.get(dimension, dimension)
        of_session = SESSION_COLUMNS.get(dimension, dimension)
        keys = [
            rows[granularity].astype(np.int64) * width + (rows[column] if dimension else 0)
            for rows, column in ((events, of_event), (sessions, of_session))
        ]
        periods = self.periods[granularity]
        found, (of_events, of_sessions) = places(keys, len(periods) * width)
        sums = [
            _count_visitors(of_events, events["visitor"], len(found)),
            *(_add_up(of_events, events.get(name), len(found)) for name in EVENT_SUMS[1:]),
            *(_add_up(of_sessions, sessions.get(name), len(found)) for name in SESSION_SUMS),
        ]
        numbers, codes = np.divmod(found, width)
        return DimensionSums(granularity, dimension, periods[numbers], codes.astype(np.int32), values, tuple(sums))


def _read_sessions(connection: Connection, days: SiteDays, periods: Columns) -> Columns:
    """Every session, by `run`; `inside`: it starts in the period."""
    codes = {name: name for name in SESSION_COLUMNS.values()} | {"source": f"{source_sql()}::source_value"}
    added = ", ".join(f"{sql} AS {name}" for name, sql in SESSION_VALUES.items())
    return _read(connection, f"run, {added}", "start_time", codes, "sessions ORDER BY run", days, periods)


def _read_events(connection: Connection, days: SiteDays, periods: Columns) -> Columns:
    """Every event; `inside`: it is of the period."""
    return _read(
        connection,
        f"visitor::INTEGER AS visitor, run, {VIEW_SQL} AS views",
        "event_time",
        {name: name for name in OWN_DIMENSIONS.values()},
        "marked",
        days,
        periods,
    )


def _read(
    connection: Connection,
    columns: str,
    time: str,
    codes: dict[str, str],
    source: str,
    days: SiteDays,
    periods: Columns,
) -> Columns:
    """`codes`: names and what they are, an ENUM of which the code is read."""
    within = f"{days.within_sql(time)} AS inside"
    times = (f"{days.period_sql(cast(Granularity, one), time)}::BIGINT AS {one}" for one in periods)
    coded = (f"coalesce(enum_code({sql})::INTEGER + 1, 0) AS {name}" for name, sql in codes.items())
    found: Columns = connection.execute(
        f"SELECT {columns}, {', '.join([within, *times, *coded])} FROM {source}"
    ).fetchnumpy()
    for one, starts in periods.items():
        found[one] = np.searchsorted(starts, found[one]).astype(np.int32)
    return found


def _rows(columns: Columns, which: Any) -> Columns:
    """The rows of a mask, or in an order; the columns themselves when that is all of them."""
    if which.dtype == np.bool_ and which.all():
        return columns
    return {name: column[which] for name, column in columns.items()}


def _by_visitor(events: Columns) -> Columns:
    """The events ordered by visitor, as they usually are: only cutting endless sessions changes it."""
    visitors = events["visitor"]
    if (visitors[1:] >= visitors[:-1]).all():
        return events
    return _rows(events, np.argsort(visitors, kind="stable"))


def _named(events: Columns, sessions: Columns, width: int) -> Columns:
    """A row for every session and name of its events, wherever these are: the session's columns, and `event`."""
    pairs = np.sort(events["session"].astype(np.int64) * width + events["name"])
    session, name = np.divmod(pairs[differs(pairs)], width)
    return _rows(sessions, session) | {"event": name}


def _stretches(events: Columns, sessions: Columns, times: Sequence[str]) -> Columns:
    alike = ("session", *times, *FIRST_KNOWN)
    begins = np.logical_or.reduce([differs(events[name]) for name in alike])
    starts = np.flatnonzero(begins)
    found = {name: events[name][starts] for name in ("visitor", *alike)}
    return {
        **{name: sessions[name][found["session"]] for name in SESSION_DIMENSIONS},
        **found,
        "views": np.add.reduceat(events["views"], starts, dtype=np.int32),
        "events": np.diff(starts, append=len(begins)),
    }


def _add_up(places: Any, values: Any, size: int) -> Any:
    """For each place the sum of its values; None: how many rows it has."""
    # With weights these are floats, and exact: a part's milliseconds are far below 2 to the 53rd.
    return slim(np.bincount(places, values, size))


def _count_visitors(places: Any, visitors: Any, size: int) -> Any:
    """For each place how many different visitors it has. The rows are by visitor."""
    order = _stable_order(places, size)
    ordered = places[order]
    return slim(np.bincount(ordered[differs(ordered) | differs(visitors[order])], minlength=size))


def _stable_order(numbers: Any, space: int) -> Any:
    """The order that sorts numbers below `space` and leaves equal ones as they are.

    16 bits at a time, because numpy sorts these by counting: twice as fast as sorting the numbers.
    """
    order = np.argsort(numbers.astype(np.uint16), kind="stable")
    for shift in range(16, (space - 1).bit_length(), 16):
        order = order[np.argsort((numbers >> shift).astype(np.uint16)[order], kind="stable")]
    return order

"""Counts visitors by the period of their first event and the periods in which they returned."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pistats.warehouse.condition import Condition
from pistats.warehouse.engine import Connection
from pistats.warehouse.filtered import events_sql, parameters_of, prepare_sessions
from pistats.warehouse.measures import bucket_parts
from pistats.warehouse.periods import Granularity, SiteDays, WeekStart, day_period_sql, days_of
from pistats.warehouse.sessions import bucket_sql

PART_EVENTS = 20_000_000
"""Events of which the visitors and periods are held at once: some 500 MB when nobody returns."""

BEFORE = -1_000_000
"""The period of every event before the range: all that counts of it is that it was there."""


@dataclass(frozen=True, slots=True)
class CohortQuestion:
    """Which cohorts, and what counts as belonging and as returning. `days` are whole periods.

    `first`: a visitor belongs to the cohort of the first event, else to every period with one. `event`, `return_event`:
    names; None is any. `condition`: on events of returning, and of belonging unless `first`.
    """

    days: SiteDays
    granularity: Granularity
    week_start: WeekStart = "monday"
    first: bool = True
    event: str | None = None
    return_event: str | None = None
    condition: Condition | None = None

    @property
    def of_any_event(self) -> bool:
        """True when all that counts is on which days somebody was there."""
        return self.event is None and self.return_event is None and self.condition is None


@dataclass(frozen=True, slots=True)
class CohortCounts:
    """Visitors of each cohort; of those, how many returned in a period, and how many did so for the last time in it.

    Cohorts and periods are numbers of days since 1970-01-01. What is not there is zero. Counts of parts add up.
    """

    sizes: dict[int, int]
    returned: dict[tuple[int, int], int]
    returned_last: dict[tuple[int, int], int]


def count_cohorts(
    connection: Connection,
    asked: CohortQuestion,
    activity: str | None = None,
    parts: Sequence[tuple[int, int]] | None = None,
) -> CohortCounts:
    """Counts over the view `events`, which has everything from the first event ever to the end of the range.

    `activity`: a relation of (bucket, visitor_id, day) that is read instead, for questions about any event.
    `parts`: ranges of buckets; None: all.
    """
    prepare_sessions(connection, [asked.condition])
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE cells (cohort BIGINT, period BIGINT, visitors BIGINT, last_visitors BIGINT);
        CREATE OR REPLACE TEMP TABLE sizes (cohort BIGINT, visitors BIGINT)""")
    quick = activity if asked.of_any_event else None
    for buckets in parts or bucket_parts(connection, PART_EVENTS, quick or "events"):
        if asked.of_any_event:
            _any_activity(connection, asked, buckets, quick)
        else:
            _activity(connection, asked, buckets)
        _count(connection)
    sizes = connection.execute("SELECT cohort, sum(visitors)::BIGINT FROM sizes GROUP BY cohort").fetchall()
    cells = connection.execute(
        "SELECT cohort, period, sum(visitors)::BIGINT, sum(last_visitors)::BIGINT FROM cells GROUP BY cohort, period"
    ).fetchall()
    return CohortCounts(
        sizes=dict(sizes),
        returned={(cohort, period): count for cohort, period, count, _ in cells if count},
        returned_last={(cohort, period): count for cohort, period, _, count in cells if count},
    )


def _activity(connection: Connection, asked: CohortQuestion, buckets: tuple[int, int]) -> None:
    """Make `began` (visitor, cohort) and `came` (visitor, period with an event that counts as returning)."""
    period = asked.days.period_sql(asked.granularity, "event_time", asked.week_start)
    start, end = asked.days.from_ms, asked.days.to_ms
    any_period = f"CASE WHEN event_time < {start} THEN {BEFORE} ELSE {period} END"
    mine = f"NOT is_bot AND event_time < {end} AND {bucket_sql(buckets)}"
    belongs = "" if asked.event is None else " AND name = $event"
    returns = "" if asked.return_event is None else " AND name = $return_event"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE came AS SELECT DISTINCT visitor_id, {period} AS period"
        f" FROM {events_sql(asked.condition)} WHERE {mine} AND event_time >= {start}{returns}",
        parameters_of(asked.condition) | ({} if asked.return_event is None else {"return_event": asked.return_event}),
    )
    condition = None if asked.first else asked.condition
    chosen = f"min({any_period}) AS cohort" if asked.first else f"{any_period} AS cohort"
    group = "visitor_id" if asked.first else "visitor_id, cohort"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE began AS SELECT visitor_id, {chosen}"
        f" FROM {events_sql(condition)} WHERE {mine}{belongs} GROUP BY {group}",
        parameters_of(condition) | ({} if asked.event is None else {"event": asked.event}),
    )


def _any_activity(
    connection: Connection, asked: CohortQuestion, buckets: tuple[int, int], activity: str | None
) -> None:
    """The same tables, when belonging and returning are the same: one reading serves both."""
    first, last = days_of(asked.days.from_date), days_of(asked.days.to_date)
    if activity is None:
        period = asked.days.period_sql(asked.granularity, "event_time", asked.week_start)
        start, end = asked.days.from_ms, asked.days.to_ms
        source = f"events WHERE NOT is_bot AND event_time < {end} AND {bucket_sql(buckets)}"
        period = f"CASE WHEN event_time < {start} THEN {BEFORE} ELSE {period} END"
    else:
        source = f"{activity} WHERE day <= {last} AND {bucket_sql(buckets)}"
        period = day_period_sql(asked.granularity, "day", asked.week_start)
        period = f"CASE WHEN day < {first} THEN {BEFORE} ELSE {period} END"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE came AS SELECT DISTINCT visitor_id, {period} AS period FROM {source}"
    )
    chosen, group = ("min(period)", "visitor_id") if asked.first else ("period", "visitor_id, period")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE began AS SELECT visitor_id, {chosen} AS cohort FROM came GROUP BY {group}"
    )


def add_counts(counted: Sequence[CohortCounts]) -> CohortCounts:
    """The counts of all parts together."""
    sizes: Counter[int] = Counter()
    returned: Counter[tuple[int, int]] = Counter()
    returned_last: Counter[tuple[int, int]] = Counter()
    for one in counted:
        sizes.update(one.sizes)
        returned.update(one.returned)
        returned_last.update(one.returned_last)
    return CohortCounts(dict(sizes), dict(returned), dict(returned_last))


def _count(connection: Connection) -> None:
    connection.execute(f"INSERT INTO sizes SELECT cohort, count(*) FROM began WHERE cohort > {BEFORE} GROUP BY cohort")
    connection.execute(f"""
        INSERT INTO cells
        WITH pairs AS (
            SELECT b.visitor_id, b.cohort, c.period
            FROM began AS b JOIN came AS c ON b.visitor_id = c.visitor_id AND c.period >= b.cohort
            WHERE b.cohort > {BEFORE}
        ), lasts AS (SELECT visitor_id, cohort, max(period) AS period FROM pairs GROUP BY visitor_id, cohort)
        SELECT cohort, period, count(*), 0 FROM pairs GROUP BY cohort, period
        UNION ALL SELECT cohort, period, 0, count(*) FROM lasts GROUP BY cohort, period""")


def visitors_of_cell(
    connection: Connection, asked: CohortQuestion, cohort: int, period: int, *, or_later: bool, limit: int
) -> tuple[list[tuple[str, int]], int]:
    """Visitors of a cohort that returned in a period (`or_later`: or in a later one), and how many they are in all.

    The first `limit` of them by the time of their last event in the range (Unix ms), latest first.
    """
    prepare_sessions(connection, [asked.condition])
    connection.execute("CREATE OR REPLACE TEMP TABLE members (visitor_id VARCHAR)")
    for buckets in bucket_parts(connection, PART_EVENTS):
        if asked.of_any_event:
            _any_activity(connection, asked, buckets, None)
        else:
            _activity(connection, asked, buckets)
        connection.execute(f"""
            INSERT INTO members SELECT DISTINCT b.visitor_id
            FROM began AS b JOIN came AS c ON b.visitor_id = c.visitor_id
            WHERE b.cohort = {int(cohort)} AND c.period {">=" if or_later else "="} {int(period)}""")
    rows = connection.execute(f"""
        SELECT visitor_id, max(event_time) AS last_time FROM events SEMI JOIN members USING (visitor_id)
        WHERE NOT is_bot AND event_time < {asked.days.to_ms}
        GROUP BY visitor_id ORDER BY last_time DESC, visitor_id LIMIT {int(limit)}""").fetchall()
    total = connection.execute("SELECT count(*) FROM members").fetchall()[0][0]
    return rows, total

"""Counts visitors by the period of their first event and the periods in which they returned."""

from dataclasses import dataclass

from pistats.warehouse.condition import Condition
from pistats.warehouse.engine import Connection
from pistats.warehouse.filtered import events_sql, parameters_of, prepare_sessions
from pistats.warehouse.measures import bucket_parts
from pistats.warehouse.periods import Granularity, SiteDays, WeekStart
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


@dataclass(frozen=True, slots=True)
class CohortCounts:
    """Visitors of each cohort; of those, how many returned in a period, and how many did so for the last time in it.

    Cohorts and periods are numbers of days since 1970-01-01. What is not there is zero. Counts of parts add up.
    """

    sizes: dict[int, int]
    returned: dict[tuple[int, int], int]
    returned_last: dict[tuple[int, int], int]


def count_cohorts(connection: Connection, asked: CohortQuestion) -> CohortCounts:
    """Counts over the view `events`, which has everything from the first event ever to the end of the range."""
    prepare_sessions(connection, [asked.condition])
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE cells (cohort BIGINT, period BIGINT, visitors BIGINT, last_visitors BIGINT);
        CREATE OR REPLACE TEMP TABLE sizes (cohort BIGINT, visitors BIGINT)""")
    for buckets in bucket_parts(connection, PART_EVENTS):
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
    if asked.event is None and asked.return_event is None and asked.condition is None:
        # One reading serves both: belonging and returning are the same events.
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE came AS"
            f" SELECT DISTINCT visitor_id, {any_period} AS period FROM events WHERE {mine}"
        )
        chosen = "min(period)" if asked.first else "period"
        group = "visitor_id" if asked.first else "visitor_id, period"
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE began AS SELECT visitor_id, {chosen} AS cohort FROM came GROUP BY {group}"
        )
        return
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

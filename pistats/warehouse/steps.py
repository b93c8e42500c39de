"""Counts how far visitors came through steps, in order or in any, within a window of time.

A visitor's events are numbered in event time. For every event that is the first step, the next step is looked up by the
number: the earliest one after it (ASOF join), or exactly the following one. The earliest is always the best: whatever
can follow a later one can follow it.
"""

from dataclasses import dataclass
from typing import Literal

from pistats.enrich.session import SILENT
from pistats.warehouse.condition import Condition
from pistats.warehouse.engine import Connection
from pistats.warehouse.filtered import KEYS, events_sql, parameters_of, prepare_sessions
from pistats.warehouse.measures import bucket_parts
from pistats.warehouse.periods import SiteDays
from pistats.warehouse.sessions import bucket_sql

PART_EVENTS = 5_000_000
"""Events that are numbered at once."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps (an event's name and a condition with a parameter prefix of its own) and how they have to follow."""

    days: SiteDays
    steps: tuple[tuple[str, Condition | None], ...]
    window_ms: int
    order: Literal["ordered", "strict", "any"]


@dataclass(frozen=True, slots=True)
class StepCounts:
    """For each step: the visitors that came so far, and the median of the ms that it took them; None for the first."""

    visitors: tuple[int, ...]
    median_ms: tuple[float | None, ...]


def count_steps(connection: Connection, asked: Chain) -> StepCounts:
    """Counts over the view `events`. A visitor who went through several times counts once, by the first time."""
    prepare_sessions(connection, [condition for _, condition in asked.steps])
    numbers = range(len(asked.steps))
    connection.execute("CREATE OR REPLACE TEMP TABLE reached (step INTEGER, took_ms BIGINT)")
    for buckets in bucket_parts(connection, PART_EVENTS):
        _number_events(connection, asked, buckets)
        for number in numbers:
            _pick_step(connection, asked, number)
        if asked.order == "any":
            _any_order(connection, asked)
        else:
            _in_order(connection, asked)
    found = connection.execute("SELECT step, count(*), median(took_ms) FROM reached GROUP BY step").fetchall()
    counts = {step: (visitors, median) for step, visitors, median in found}
    return StepCounts(
        tuple(counts.get(number, (0, None))[0] for number in numbers),
        tuple(counts.get(number, (0, None))[1] if number else None for number in numbers),
    )


def _number_events(connection: Connection, asked: Chain, buckets: tuple[int, int]) -> None:
    """Make `numbered`: this part's events, with their place among the visitor's own.

    In the order "strict", what the tracker sends by itself is never in between.
    """
    names = ", ".join(f"$name{number}" for number in range(len(asked.steps)))
    given = {f"name{number}": name for number, (name, _) in enumerate(asked.steps)}
    unseen = ", ".join(f"'{name}'" for name in sorted(SILENT))
    kept = f"(name IN ({names}) OR name NOT IN ({unseen}))" if asked.order == "strict" else f"name IN ({names})"
    columns = ", ".join(f'"{key}"' for key in KEYS)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE numbered AS
        SELECT {columns}, name,
               row_number() OVER (PARTITION BY visitor_id ORDER BY event_time, "partition", "offset", event_id) AS place
        FROM events WHERE NOT is_bot AND {bucket_sql(buckets)} AND {kept}
         AND {asked.days.within_sql("event_time")}""",
        given,
    )


def _pick_step(connection: Connection, asked: Chain, number: int) -> None:
    """Make `step_<number>` (visitor_id, place, event_time): the events that are this step."""
    name, condition = asked.steps[number]
    met = ""
    if condition is not None:
        columns = ", ".join(f'"{key}"' for key in KEYS)
        met = f" SEMI JOIN (SELECT {columns} FROM {events_sql(condition)} WHERE name = $name) USING ({columns})"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE step_{number} AS"
        f" SELECT visitor_id, place, event_time FROM numbered{met} WHERE name = $name",
        {"name": name, **parameters_of(condition)},
    )


def _in_order(connection: Connection, asked: Chain) -> None:
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE chain AS"
        " SELECT visitor_id, place AS origin, event_time AS began, place, event_time, 0 AS took_ms FROM step_0"
    )
    _note_reached(connection, 0)
    join, follows = ("ASOF JOIN", ">") if asked.order == "ordered" else ("JOIN", "= 1 +")
    for number in range(1, len(asked.steps)):
        connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE chain AS
            SELECT c.visitor_id, c.origin, c.began, s.place, s.event_time, s.event_time - c.event_time AS took_ms
            FROM chain AS c {join} step_{number} AS s ON c.visitor_id = s.visitor_id AND s.place {follows} c.place
            WHERE s.event_time <= c.began + {asked.window_ms}""")
        _note_reached(connection, number)


def _any_order(connection: Connection, asked: Chain) -> None:
    """From every event that is a step, the earliest of each step from there on, itself included."""
    numbers = range(len(asked.steps))
    starts = " UNION ".join(f"SELECT visitor_id, place, event_time FROM step_{number}" for number in numbers)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE chain AS SELECT visitor_id, place AS origin, event_time AS began,"
        f" event_time AS earliest, event_time AS latest, 0::BIGINT AS took_ms FROM ({starts})"
    )
    for number in numbers:
        earliest, latest = (
            ("s.event_time", "s.event_time")
            if number == 0
            else (
                "least(c.earliest, s.event_time)",
                "greatest(c.latest, s.event_time)",
            )
        )
        connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE chain AS
            SELECT c.visitor_id, c.origin, c.began, {earliest} AS earliest, {latest} AS latest,
                   {latest} - {earliest} AS took_ms
            FROM chain AS c ASOF JOIN step_{number} AS s ON c.visitor_id = s.visitor_id AND s.place >= c.origin
            WHERE s.event_time <= c.began + {asked.window_ms}""")
        _note_reached(connection, number)


def _note_reached(connection: Connection, number: int) -> None:
    """Everybody in `chain` has reached this step; how long it took is that of the chain that began first."""
    connection.execute(f"INSERT INTO reached SELECT {number}, arg_min(took_ms, origin) FROM chain GROUP BY visitor_id")

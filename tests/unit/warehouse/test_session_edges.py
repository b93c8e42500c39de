"""The edges of a session's definition, to the millisecond."""

import duckdb
import pytest

from pistats.enrich.session import BOUNCE_MS, CAP_MS, GAP_MS
from pistats.warehouse.sessions import SessionPlan, build_sessions
from tests.table_events import TableEvents, an_event, table_of

HALF_HOURS = [number * GAP_MS for number in range(CAP_MS // GAP_MS + 1)]
"""A visitor who never pauses for longer than may be, for exactly 24 hours."""


@pytest.mark.parametrize(
    ("times", "sessions"),
    [
        ([0, GAP_MS], [(0, GAP_MS)]),
        ([0, GAP_MS + 1], [(0, 0), (GAP_MS + 1, GAP_MS + 1)]),
        (HALF_HOURS, [(0, CAP_MS)]),
        ([*HALF_HOURS, CAP_MS + 1], [(0, CAP_MS), (CAP_MS + 1, CAP_MS + 1)]),
    ],
)
def test_where_a_session_ends(times: list[int], sessions: list[tuple[int, int]]) -> None:
    assert [(start, end) for start, end, _ in built(times)] == sessions


@pytest.mark.parametrize(("second", "bounce"), [(BOUNCE_MS - 1, True), (BOUNCE_MS, False)])
def test_what_is_a_bounce(second: int, bounce: bool) -> None:
    assert built([0, second], "engagement") == [(0, second, bounce)]
    assert built([0, second], "buy") == [(0, second, False)]
    assert built([0, second], "page_view") == [(0, second, False)]


def built(times: list[int], later: str = "page_view") -> list[tuple[int, int, bool]]:
    """(start, end, bounce) of the sessions of one visitor: a page view, then others of this name."""
    events = [an_event(at, event_time=time, name=later if at else "page_view") for at, time in enumerate(times)]
    with duckdb.connect() as connection:
        TableEvents(table_of(events)).register(connection)
        build_sessions(connection, SessionPlan())
        return connection.execute("SELECT start_time, end_time, bounce FROM sessions ORDER BY start_time").fetchall()

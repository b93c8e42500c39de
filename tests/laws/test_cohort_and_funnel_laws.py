"""Retention, funnels and pages of events agree with their definitions written as plain loops, for arbitrary events."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, product
from statistics import median
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_hexdigest

from pistats.reports.events import EventsAnswer, EventsQuery
from pistats.reports.funnel import FunnelAnswer, FunnelQuery, FunnelStep
from pistats.reports.retention import RetentionAnswer, RetentionQuery
from pistats.reports.visitor import VisitorAnswer
from pistats.warehouse.engine import QueryEngine
from tests.plain_history import Event, in_order, period_of, sessions_of
from tests.table_events import SITE, TableSource, a_site, an_event

LAW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
START = int(datetime(2026, 10, 20, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = 3_600_000
NAMES = ("page_view", "buy", "it's; DROP TABLE events", "engagement")


@pytest.fixture(scope="module")
def engine() -> Iterator[QueryEngine]:
    engine = QueryEngine(threads=1, niceness=0)
    yield engine
    engine.close()


@st.composite
def events(draw: st.DrawFn, hours: int, step_ms: int = HOUR_MS) -> list[Event]:
    """Up to 30 events of four visitors within so many hours."""
    moments = st.integers(0, hours * HOUR_MS // step_ms).map(lambda step: START + step * step_ms)
    return [
        an_event(
            number,
            event_time=draw(moments),
            visitor_id=draw(st.sampled_from(("a", "b", "c", "'; --"))),
            name=draw(st.sampled_from(NAMES)),
            path=draw(st.sampled_from(("/", "/x"))),
            is_bot=draw(st.sampled_from((False, False, False, True))),
        )
        for number in range(draw(st.integers(0, 30)))
    ]


def late_event(one: Event) -> Event:
    """The same, of an offset and id of its own."""
    return {**one, "offset": 1_000 + one["offset"], "event_id": f"l{one['offset']}"}


def week_or_month(time_ms: int, zone: str, granularity: str, week_start: str) -> date:
    day = date.fromisoformat(period_of(time_ms, zone, "day"))
    if granularity == "week":
        return day - timedelta(days=(day.weekday() + (week_start == "sunday")) % 7)
    return day.replace(day=1) if granularity == "month" else day


@LAW
@given(
    there=events(24 * 20),
    zone=st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kolkata")),
    granularity=st.sampled_from(("day", "week", "month")),
    mode=st.sampled_from(("first", "recurring")),
    returns=st.sampled_from(("on", "on_or_after")),
    event=st.sampled_from((None, *NAMES[1:3])),
    return_event=st.sampled_from((None, *NAMES[:3])),
    week_start=st.sampled_from(("monday", "sunday")),
    path=st.sampled_from((None, None, "/x")),
)
async def test_cohorts(
    engine: QueryEngine,
    there: list[Event],
    zone: str,
    granularity: Any,
    mode: Any,
    returns: Any,
    event: str | None,
    return_event: str | None,
    week_start: Any,
    path: str | None,
) -> None:
    query = RetentionQuery(
        from_date=date(2026, 10, 23),
        to_date=date(2026, 11, 5),
        granularity=granularity,
        mode=mode,
        returns=returns,
        event=event,
        return_event=return_event,
        week_start=week_start,
        filter=None if path is None else {"field": "path", "value": path},
    )

    report = await RetentionAnswer(TableSource(there), engine, lambda: START + 999 * 24 * HOUR_MS).of(
        a_site(zone), query
    )

    def period(one: Event) -> date:
        return week_or_month(one["event_time"], zone, granularity, week_start)

    people = [one for one in there if not one["is_bot"]]
    began: dict[str, set[date]] = defaultdict(set)
    for one in people:
        if event in (None, one["name"]) and (mode == "first" or path in (None, one["path"])):
            began[one["visitor_id"]].add(period(one))
    if mode == "first":
        began = defaultdict(set, {visitor: {min(periods)} for visitor, periods in began.items()})
    came: dict[str, set[date]] = defaultdict(set)
    for one in people:
        if return_event in (None, one["name"]) and path in (None, one["path"]):
            came[one["visitor_id"]].add(period(one))
    starts = [cohort.start for cohort in report.cohorts]
    assert starts[0] <= query.from_date
    assert starts[-1] <= query.to_date
    came = defaultdict(set, {visitor: periods & set(starts) for visitor, periods in came.items()})
    for at, cohort in enumerate(report.cohorts):
        members = {visitor for visitor, periods in began.items() if cohort.start in periods}
        assert cohort.size == len(members)
        for returned, later in zip(cohort.returned, starts[at:], strict=True):
            back = {
                visitor
                for visitor in members
                if (later in came[visitor] if returns == "on" else any(one >= later for one in came[visitor]))
            }
            assert returned == len(back)
        assert all(cohort.complete)


@LAW
@given(
    there=events(2, step_ms=300_000),
    steps=st.lists(st.sampled_from(((NAMES[0], None), (NAMES[1], None), (NAMES[2], "/x"))), min_size=1, max_size=3),
    order=st.sampled_from(("ordered", "strict", "any")),
    window_s=st.sampled_from((1, 600, 3_600, 86_400)),
)
async def test_funnels(
    engine: QueryEngine, there: list[Event], steps: list[tuple[str, str | None]], order: Any, window_s: int
) -> None:
    query = FunnelQuery(
        steps=tuple(
            FunnelStep(name, None if path is None else {"field": "path", "value": path}) for name, path in steps
        ),
        from_date=date(2026, 10, 20),
        to_date=date(2026, 10, 20),
        window_s=window_s,
        order=order,
    )

    report = await FunnelAnswer(TableSource(there), engine).of(a_site(), query)

    def is_step(one: Event, number: int) -> bool:
        name, path = steps[number]
        return bool(one["name"] == name and path in (None, one["path"]))

    took: dict[int, list[int]] = defaultdict(list)
    for visitor in {one["visitor_id"] for one in there}:
        mine = in_order(one for one in there if one["visitor_id"] == visitor and not one["is_bot"])
        wanted = {name for name, _ in steps}
        if order == "strict":
            mine = [one for one in mine if one["name"] in wanted or one["name"] not in ("engagement", "identify")]
        for number in range(len(steps)):
            places = [[at for at, one in enumerate(mine) if is_step(one, step)] for step in range(number + 1)]
            found = []
            for chain in product(*places):
                times = [mine[at]["event_time"] for at in chain]
                if max(times) - min(times) > window_s * 1_000:
                    continue
                far = 1 if order == "strict" else len(mine)
                if order == "any":
                    found.append((min(chain), max(times) - min(times)))
                elif all(a < b <= a + far for a, b in pairwise(chain)):
                    found.append((chain[0], times[-1] - times[-2] if number else 0))
            if found:
                took[number].append(min(found)[1] if order == "any" else found[0][1])
    counts = [len(took[number]) for number in range(len(steps))]
    assert [step.visitors for step in report.steps] == counts
    assert [step.share for step in report.steps] == [count / counts[0] if counts[0] else 0 for count in counts]
    medians = [median(took[number]) / 1_000 if number and took[number] else None for number in range(len(steps))]
    assert [step.median_s for step in report.steps] == medians


@LAW
@given(there=events(40), limit=st.integers(1, 7), late=events(40), visitor=st.sampled_from((None, "a", "'; --")))
async def test_pages_of_events_give_each_once(
    engine: QueryEngine, there: list[Event], limit: int, late: list[Event], visitor: str | None
) -> None:
    source = TableSource(there)
    cursor, found = None, []
    while True:
        query = EventsQuery(
            from_date=date(2026, 10, 20), to_date=date(2026, 10, 21), limit=limit, cursor=cursor, visitor=visitor
        )
        page = await EventsAnswer(source, engine).of(a_site(), query)
        found += page.events
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.events) == limit
        source.events_there = [
            *there,
            *({**one, "offset": 1_000 + one["offset"], "event_id": f"l{one['offset']}"} for one in late),
        ]

    expected = [
        one["event_id"]
        for one in in_order(there)
        if visitor in (None, one["visitor_id"]) and one["event_time"] < START + 48 * HOUR_MS
    ]
    ids = [one["event_id"] for one in found]
    assert [one for one in ids if one.startswith("e")] == expected
    assert len(set(ids)) == len(ids)


@LAW
@given(there=events(30, step_ms=600_000))
async def test_events_and_visitors_know_their_sessions(engine: QueryEngine, there: list[Event]) -> None:
    day = {"from_date": date(2026, 10, 20), "to_date": date(2026, 10, 22)}
    page = await EventsAnswer(TableSource(there), engine).of(a_site(), EventsQuery(**day))

    found = {one["event_id"]: one for one in page.events}
    sessions = sessions_of(one for one in there if not one["is_bot"])
    for session in sessions:
        firsts = [one for one in session.events if one["event_time"] == session.start]
        session_id = min(
            xxh3_64_hexdigest(f"{SITE}\x1f{one['visitor_id']}\x1f{one['event_id']}".encode()) for one in firsts
        )
        for one in session.events:
            its = found[one["event_id"]]
            assert (its["session_id"], its["entry_page"], its["exit_page"]) == (
                session_id,
                session.entry_page,
                session.exit_page,
            )
    assert all(found[one["event_id"]]["session_id"] is None for one in there if one["is_bot"])

    report = await VisitorAnswer(TableSource(there), engine, lambda: START + 99 * HOUR_MS).of(a_site(), "a")
    mine = [session for session in sessions if session.events[0]["visitor_id"] == "a"]
    assert [
        (one.start, one.end, one.views, one.bounce, one.duration_ms, one.entry_page) for one in report.sessions
    ] == [
        (one.start, one.end, len(one.views), one.bounce, one.duration_ms, one.entry_page)
        for one in sorted(mine, key=lambda one: -one.start)
    ]
    assert report.totals.events == sum(len(one.events) for one in mine)
    assert [one["event_id"] for one in report.timeline] == [
        one["event_id"] for one in in_order(there) if one["visitor_id"] == "a"
    ]

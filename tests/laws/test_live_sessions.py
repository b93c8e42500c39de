"""Sessions follow from the events and their times, not from the order or the batches in which they arrive."""

from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from pistats.enrich.session import CAP_MS, GAP_MS, Visit, place, visit_of
from pistats.visitors.calendar import LocalDays
from pistats.visitors.visitors import Visitors

START = 1_764_000_000_000
LAW = settings(max_examples=100, deadline=None)


def event(
    time: int, event_id: str, name: str = "page_view", path: str = "/", channel: str | None = None
) -> dict[str, Any]:
    return {
        "site": "news",
        "visitor_id": "v",
        "event_id": event_id,
        "event_time": START + time,
        "name": name,
        "is_bot": False,
        "path": path,
        "channel": channel,
        "source": channel,
        "medium": None,
        "campaign": None,
        "properties": None,
        "session_id": None,
        "entry_page": None,
    }


@st.composite
def days(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A visitor's day: less than 24 hours, so that the cap plays no part."""
    times = draw(st.lists(st.integers(0, 40).map(lambda step: step * GAP_MS // 2), max_size=8))
    return [
        event(
            time,
            f"e{number}",
            draw(st.sampled_from(["page_view", "engagement", "buy"])),
            draw(st.sampled_from(["/a", "/b"])),
            draw(st.sampled_from([None, "Direct", "Google"])),
        )
        for number, time in enumerate(times)
    ]


def by_definition(events: list[dict[str, Any]]) -> list[tuple[int, int, int]]:
    """Start, end and events of each session, straight from the definition."""
    found: list[tuple[int, int, int]] = []
    for time in sorted(item["event_time"] for item in events):
        if found and time - found[-1][1] <= GAP_MS:
            start, _, count = found.pop()
            found.append((start, time, count + 1))
        else:
            found.append((time, time, 1))
    return found


def sessions_of() -> Visitors:
    return Visitors(0, lambda _: LocalDays(ZoneInfo("UTC")), keep=100)


def folded(events: list[dict[str, Any]]) -> tuple[Visit, ...]:
    sessions = sessions_of()
    for item in events:
        sessions.fold([dict(item)])
    return sessions.visits("news", "v")


@given(days(), st.randoms(use_true_random=False))
@LAW
def test_any_order_gives_the_sessions_of_the_definition(events: Any, random: Any) -> None:
    expected = by_definition(events)
    shuffled = list(events)
    random.shuffle(shuffled)

    visits: tuple[Visit, ...] = ()
    for item in shuffled:
        visits, _ = place(visits, visit_of(item))

    assert [(visit.start, visit.end, visit.events) for visit in visits] == expected


@given(days(), st.randoms(use_true_random=False))
@LAW
def test_what_a_visit_says_does_not_depend_on_the_order(events: Any, random: Any) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    one: tuple[Visit, ...] = ()
    other: tuple[Visit, ...] = ()
    for item, mixed in zip(events, shuffled, strict=True):
        one, _ = place(one, visit_of(item))
        other, _ = place(other, visit_of(mixed))

    assert one == other


@given(days(), st.randoms(use_true_random=False))
@LAW
def test_the_short_way_for_the_next_event_is_the_long_way(events: Any, random: Any) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    long: tuple[Visit, ...] = ()
    for item in shuffled:
        long, _ = place(long, visit_of(item))

    assert folded(shuffled) == long


@given(days(), st.sets(st.integers(1, 8)), st.booleans())
@LAW
def test_any_split_and_restart_gives_the_same_documents(events: Any, cuts: set[int], restart: bool) -> None:
    stored: dict[str, dict[str, Any]] = {}
    sessions = sessions_of()
    begin = 0
    for end in [*sorted(cut for cut in cuts if cut < len(events)), len(events)]:
        if restart:
            sessions = sessions_of()
        batch = [dict(item) for item in events[begin:end]]
        sessions.load(stored[str(key)] for key in sessions.missing(batch) if str(key) in stored)
        sessions.fold(batch)
        stored.update({str(document["_id"]): document for document in sessions.documents()})
        sessions.committed()
        begin = end
    whole = sessions_of()
    whole.fold([dict(item) for item in events])

    assert list(stored.values()) == whole.documents()


def test_a_gap_of_exactly_thirty_minutes_does_not_end_a_session() -> None:
    assert len(folded([event(0, "a"), event(GAP_MS, "b")])) == 1
    assert len(folded([event(0, "a"), event(GAP_MS + 1, "b")])) == 2


def test_a_late_event_joins_two_visits() -> None:
    (visit,) = folded([event(0, "a", path="/in"), event(GAP_MS + 60_000, "c", path="/out"), event(GAP_MS // 2, "b")])

    assert (visit.events, visit.entry_page, visit.exit_page) == (3, "/in", "/out")


def test_no_session_is_longer_than_a_day() -> None:
    visits = folded([event(minute * 20 * 60_000, f"e{minute}") for minute in range(100)])

    assert len(visits) == 2
    assert all(visit.end - visit.start <= CAP_MS for visit in visits)
    assert sum(visit.events for visit in visits) == 100


def test_bounce_and_duration() -> None:
    (bounce,) = folded([event(0, "a"), event(9_999, "b", "engagement")])
    (read,) = folded([event(0, "a"), event(10_000, "b", "engagement")])
    (acted,) = folded([event(0, "a"), event(1_000, "b", "buy")])

    assert (bounce.bounce, bounce.duration_ms) == (True, 0)
    assert (read.bounce, read.duration_ms) == (False, 10_000)
    assert (acted.bounce, acted.duration_ms) == (False, 1_000)


def test_events_carry_their_session_and_bots_have_none() -> None:
    events = [event(0, "a", path="/in"), event(60_000, "b", path="/next"), {**event(0, "c"), "is_bot": True}]

    sessions_of().fold(events)

    assert events[0]["session_id"] == events[1]["session_id"] is not None
    assert events[1]["entry_page"] == "/in"
    assert events[2]["session_id"] is None

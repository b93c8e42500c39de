"""Active days and retention cells: values that merge, and cells that follow from who was active when, in any order."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pistats.visitors.calendar import (
    GRANULARITIES,
    MAX_DAY,
    QUARTER_MS,
    LocalDays,
    date_of,
    day_of,
    first_date,
    period_of,
)
from pistats.visitors.days import KEPT_DAYS, MAX_PERIODS, ActiveDays
from pistats.visitors.retention import CellKey, Cohort, RetentionCells, RowChange, key_of
from pistats.visitors.visitors import Visitors

LAW = settings(max_examples=60, deadline=None)
TODAY = day_of(date(2026, 11, 23))
DAY_MS = 86_400_000

near = st.integers(TODAY - 70, TODAY)
far = st.sampled_from([0, 1, TODAY - KEPT_DAYS, TODAY - KEPT_DAYS + 1, TODAY - 400, TODAY - 399])
days = st.sets(st.one_of(near, near, near, far), min_size=1, max_size=12)
zones = st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland", "Pacific/Apia"])


@given(days, days, days)
@LAW
def test_active_days_merge_in_any_order_and_grouping(one: set[int], two: set[int], three: set[int]) -> None:
    a, b, c = ActiveDays.of(one), ActiveDays.of(two), ActiveDays.of(three)

    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(a) == a
    assert a.merge(b) == ActiveDays.of(one | two)


@given(days)
@LAW
def test_active_days_are_the_days_they_were_made_of(given_days: set[int]) -> None:
    active = ActiveDays.of(given_days)
    first = min(given_days)

    assert list(active) == sorted(day for day in given_days if day - first < KEPT_DAYS)
    assert ActiveDays.from_bytes(active.first_day, active.to_bytes()) == active
    assert all(day in active for day in active)
    assert first - 1 not in active
    assert len(active.to_bytes()) <= KEPT_DAYS // 8


@given(st.integers(0, MAX_DAY - 400))
@LAW
def test_periods_follow_one_another_and_start_where_they_say(day: int) -> None:
    for granularity in GRANULARITIES:
        period = period_of(granularity, day)
        start = first_date(granularity, period)
        assert start <= date_of(day) < first_date(granularity, period + 1)
        assert period_of(granularity, day_of(start)) == period
    assert first_date("week", period_of("week", day)).weekday() == 0
    assert first_date("month", period_of("month", day)).day == 1


@given(zones, st.integers(0, TODAY * DAY_MS))
@example("Pacific/Apia", int(datetime(2011, 12, 30, 12, tzinfo=UTC).timestamp() * 1000))  # a day that never was
@LAW
def test_a_local_day_is_that_of_the_clock_on_the_wall(zone: str, time: int) -> None:
    wall = datetime.fromtimestamp(time / 1000, ZoneInfo(zone))

    assert LocalDays(ZoneInfo(zone))[time // QUARTER_MS] == day_of(wall.date())


def event(visitor: str, time: int) -> dict[str, Any]:
    known = {"site": "news", "visitor_id": visitor, "event_id": f"{visitor}{time}", "event_time": time}
    unknown = ("path", "channel", "source", "medium", "campaign", "properties")
    return {**dict.fromkeys(unknown), **known, "name": "purchase", "is_bot": False}


activity = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "eve"]), st.one_of(near, near, near, far), st.integers(0, 23)),
    max_size=25,
)


def by_definition(seen: dict[str, set[int]]) -> dict[CellKey, tuple[int, dict[int, int]]]:
    """Size and returned visitors of every cohort, straight from the definition."""
    cells: dict[CellKey, tuple[int, dict[int, int]]] = {}
    for active in seen.values():
        first = min(active)
        for granularity in GRANULARITIES:
            cohort = period_of(granularity, first)
            key = CellKey("news", granularity, cohort)
            size, returned = cells.get(key, (0, defaultdict(int)))
            kept = {day for day in active if day - first < KEPT_DAYS}
            for period in {period_of(granularity, day) - cohort for day in kept}:
                if period < MAX_PERIODS:
                    returned[period] += 1
            cells[key] = (size + 1, returned)
    return cells


class Stored:
    """A consumer of one partition that reads back what it wrote."""

    def __init__(self, zone: str = "UTC", partition: int = 0) -> None:
        days = LocalDays(ZoneInfo(zone))
        self.visitors = Visitors(partition, lambda _: days, keep=2)
        self.cells = RetentionCells(partition)
        self.documents: dict[str, dict[str, Any]] = {}

    def load(self, events: list[dict[str, Any]], *asked: tuple[str, str]) -> None:
        ids = self.visitors.missing(events, asked)
        self.visitors.load(self.documents[str(one)] for one in ids if str(one) in self.documents)

    def fold(self, events: list[dict[str, Any]]) -> None:
        self.load(events)
        self.visitors.fold(events)
        self.commit()

    def commit(self) -> None:
        changes = self.visitors.changes()
        ids = self.cells.missing(changes)
        self.cells.load(self.documents[str(one)] for one in ids if str(one) in self.documents)
        self.cells.fold(changes)
        for document in [*self.visitors.documents(), *self.cells.documents()]:
            self.documents[str(document["_id"])] = document
        for gone in self.visitors.gone():
            self.documents.pop(str(gone), None)
        self.visitors.committed()
        self.cells.committed()

    def numbers(self) -> dict[CellKey, tuple[int, dict[int, int]]]:
        found = [one for one in self.documents.values() if "size" in one]
        rows = {key_of(one["_id"]): (one["size"], dict(enumerate(one["returned"]))) for one in found}
        return {
            key: (size, _present(returned)) for key, (size, returned) in rows.items() if size or any(returned.values())
        }


def _present(returned: dict[int, int]) -> dict[int, int]:
    return {period: visitors for period, visitors in returned.items() if visitors}


@given(activity, zones, st.integers(1, 5))
@LAW
def test_any_order_and_any_split_give_the_cells_of_the_definition(seen: Any, zone: str, size: int) -> None:
    local = LocalDays(ZoneInfo(zone))
    events = [event(visitor, day * DAY_MS + hour * 3_600_000) for visitor, day, hour in seen]
    expected: dict[str, set[int]] = defaultdict(set)
    for item in events:
        expected[item["visitor_id"]].add(local[item["event_time"] // QUARTER_MS])

    stored = Stored(zone)
    for start in range(0, len(events), size):
        stored.fold(events[start : start + size])

    assert stored.numbers() == {key: (n, dict(row)) for key, (n, row) in by_definition(expected).items()}
    firsts = {one["_id"]["visitor_id"]: one["first_time"] for one in stored.documents.values() if "visits" in one}
    assert firsts == {
        visitor: min(item["event_time"] for item in events if item["visitor_id"] == visitor) for visitor in expected
    }


@given(activity, activity)
@LAW
def test_what_a_backfill_merges_is_what_its_events_would_have_given(live: Any, past: Any) -> None:
    events = [event(visitor, day * DAY_MS + hour * 3_600_000) for visitor, day, hour in live]
    older = [event(visitor, day * DAY_MS + hour * 3_600_000) for visitor, day, hour in past]
    merged, folded = Stored(), Stored()
    for item in events:
        merged.fold([dict(item)])
    for item in [*events, *older]:
        folded.fold([dict(item)])

    for _ in range(2):  # the second time changes nothing
        for visitor in {item["visitor_id"] for item in older}:
            times = [item["event_time"] for item in older if item["visitor_id"] == visitor]
            merged.load([], ("news", visitor))
            merged.visitors.merge("news", visitor, min(times), {time // DAY_MS for time in times})
            merged.commit()

    assert merged.numbers() == folded.numbers()


@given(activity)
@LAW
def test_an_erased_visitor_is_in_no_cell(seen: Any) -> None:
    events = [event(visitor, day * DAY_MS + hour * 3_600_000) for visitor, day, hour in seen]
    with_ann, without = Stored(), Stored()
    for item in events:
        with_ann.fold([dict(item)])
        if item["visitor_id"] != "ann":
            without.fold([dict(item)])

    with_ann.load([], ("news", "ann"))
    with_ann.visitors.erase("news", "ann", 2**62)
    with_ann.commit()

    assert with_ann.numbers() == without.numbers()
    assert "{'site': 'news', 'visitor_id': 'ann'}" not in with_ann.documents


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 1)), max_size=6).map(tuple), st.data())
@LAW
def test_cohorts_merge_in_any_order_and_grouping(rows: Any, data: Any) -> None:
    def cohort() -> Cohort:
        made = Cohort(0, [])
        for period, sign in data.draw(st.lists(st.sampled_from(rows), max_size=4)) if rows else ():
            made.apply(RowChange(CellKey("s", "day", 0), (period,), sign, sized=True))
        return made

    a, b, c = cohort(), cohort(), cohort()
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(Cohort(0, [])) == a


def test_cells_are_bounded() -> None:
    stored = Stored()
    for back in range(MAX_PERIODS * 7 + 100, -1, -7):
        stored.fold([event("ann", (TODAY - back) * DAY_MS)])

    assert max(len(one["returned"]) for one in stored.documents.values() if "size" in one) <= MAX_PERIODS


def test_a_visitor_that_moved_to_another_partition_is_counted_once() -> None:
    home, away = Stored(), Stored(partition=1)
    home.fold([event("ann", TODAY * DAY_MS)])
    away.documents |= {key: one for key, one in home.documents.items() if "visits" in one}

    away.fold([event("ann", int((datetime(2026, 11, 2, tzinfo=UTC) - timedelta(days=1)).timestamp() * 1000))])

    cells: dict[CellKey, Cohort] = {}
    for one in [*home.documents.values(), *away.documents.values()]:
        if "size" in one:
            key = key_of(one["_id"])
            cells[key] = cells.get(key, Cohort(0, [])).merge(Cohort(one["size"], one["returned"]))
    days = {first_date("day", key.cohort).isoformat(): cell for key, cell in cells.items() if key.granularity == "day"}
    assert (days["2026-11-23"].size, days["2026-11-01"].size) == (0, 1)
    assert days["2026-11-01"].returned == [1, *[0] * 21, 1]

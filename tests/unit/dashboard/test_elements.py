"""What the elements are told: the report's numbers, formatted, and a client's text untouched."""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.cohorts_element import cohorts_data, weighted_mean
from dashboard.dimension_element import CARDS, table_data
from dashboard.element import LOADING, Order
from dashboard.filters import DIMENSIONS, Filter
from dashboard.live_element import when_empty
from dashboard.overview_element import Overview, overview_data
from dashboard.periods import Days
from dashboard.sign_in import Role, SignIn
from dashboard.steps_element import steps_data
from dashboard.timeline_element import timeline_data
from pistats.annotations import Annotation
from pistats.format import NO_BREAK
from pistats.reports.funnel import FunnelReport, FunnelStepResult
from pistats.reports.history import METRICS, HistoryComparison, HistoryReport
from pistats.reports.retention import Cohort, RetentionQuery, RetentionReport
from pistats.reports.visitor import VisitorReport, VisitorSession, VisitorTotals

UTC = ZoneInfo("UTC")
THREE_DAYS = Days(date(2026, 11, 22), date(2026, 11, 24))
EVIL = "<b>**x**</b> [a](javascript:1)"


def test_what_an_element_is_given_later_has_a_higher_number() -> None:
    order = Order()
    shape, numbers = order.of("grid", LOADING), order.of("grid", {"rows": [1]})
    again, shape_again = order.of("grid", {"rows": [1]}), order.of("grid", LOADING)
    assert shape < numbers == again < shape_again
    assert order.of("another grid", LOADING) == shape
    assert Order().of("grid", LOADING)[0] != shape[0], "a session of another browser has numbers of its own"


def values(visitors: int, bounce_rate: float | None = 0.5) -> tuple[Any, ...]:
    given = {"visitors": visitors, "bounce_rate": bounce_rate}
    return tuple(given.get(metric, visitors) for metric in METRICS)


def overview(metric: str = "visitors", until: int | None = None) -> dict[str, Any]:
    rows = [("2026-11-22", *values(10)), ("2026-11-23", *values(0, None)), ("2026-11-24", *values(1_234))]
    before = HistoryComparison(
        from_date=date(2026, 11, 19),
        to_date=date(2026, 11, 21),
        until=until,
        rows=(("2026-11-19", *values(5)), ("2026-11-20", *values(6)), ("2026-11-21", *values(7))),
        totals=dict(zip(METRICS, values(1_000), strict=True)),
    )
    report = HistoryReport(
        columns=("time", *METRICS),
        rows=tuple(rows),
        totals=dict(zip(METRICS, values(1_240), strict=True)),
        comparison=before,
        complete_through=None,
        truncated=False,
    )
    note = Annotation("a1", "news", date(2026, 11, 23), EVIL, 0)
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    return overview_data(Overview(report, THREE_DAYS, "day", metric, UTC, now, [note], True))


def test_tiles_hold_the_totals_and_their_change() -> None:
    tiles = {tile["key"]: tile for tile in overview()["tiles"]}
    assert list(tiles) == list(METRICS)
    assert (tiles["visitors"]["value"], tiles["visitors"]["chosen"]) == ("1,240", True)
    assert tiles["visitors"]["change"]["words"] == "up from 1,000"
    assert tiles["visitors"]["change"]["period"] == "19–21 Nov 2026"
    assert tiles["bounce_rate"]["value"] == f"50{NO_BREAK}%"


def test_the_chart_marks_the_period_that_is_not_over() -> None:
    chart = overview()["chart"]
    assert [point["value"] for point in chart["points"]] == [10, 0, 1_234]
    assert [point["before"] for point in chart["points"]] == [5, 6, 7]
    assert [point["open"] for point in chart["points"]] == [False, False, True]
    assert chart["top"] >= 1_234
    assert (chart["kind"], chart["empty"]) == ("columns", None)
    assert chart["flags"] == [{"at": 1, "number": "1"}]


def test_a_tile_says_up_to_when_the_earlier_range_counts() -> None:
    noon = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1000)
    change = overview(until=noon)["tiles"][0]["change"]
    assert change["period"] == "19–21 Nov 2026, until 12:00: as much as of this range is over."


def test_hours_stand_beside_the_same_hours_where_clocks_are_changed() -> None:
    berlin = ZoneInfo("Europe/Berlin")

    def hours(day: int) -> tuple[Any, ...]:
        midnight = datetime(2026, 10, day, tzinfo=berlin).timestamp()
        starts = [datetime.fromtimestamp(midnight + hour * 3_600, berlin) for hour in range(25)]
        return tuple((one.isoformat(), *values(one.hour)) for one in starts if one.day == day)

    totals: dict[str, Any] = dict(zip(METRICS, values(5), strict=True))
    day = Days(date(2026, 10, 25), date(2026, 10, 25))
    before = HistoryComparison(
        from_date=date(2026, 10, 24), to_date=date(2026, 10, 24), until=None, rows=hours(24), totals=totals
    )
    report = HistoryReport(
        columns=("time", *METRICS),
        rows=hours(25),
        totals=totals,
        comparison=before,
        complete_through=None,
        truncated=False,
    )
    now = datetime(2026, 11, 24, 12, tzinfo=berlin)
    points = overview_data(Overview(report, day, "hour", "visitors", berlin, now, [], False))["chart"]["points"]
    assert len(points) == 25
    assert [point["label"] for point in points[2:4]] == ["Sun 25 Oct 2026, 02:00", "Sun 25 Oct 2026, 02:00 again"]
    assert [point["before"] for point in points] == [point["value"] for point in points]


def test_a_week_at_the_edge_of_the_range_says_which_days_it_has() -> None:
    totals: dict[str, Any] = dict(zip(METRICS, values(5), strict=True))
    rows = (("2026-11-09", *values(1)), ("2026-11-16", *values(2)), ("2026-11-23", *values(3)))
    report = HistoryReport(
        columns=("time", *METRICS), rows=rows, totals=totals, comparison=None, complete_through=None, truncated=False
    )
    days, now = Days(date(2026, 11, 11), date(2026, 11, 24)), datetime(2026, 11, 24, 12, tzinfo=UTC)
    points = overview_data(Overview(report, days, "week", "visitors", UTC, now, [], False))["chart"]["points"]
    assert [point["label"] for point in points] == ["11–15 Nov 2026", "16–22 Nov 2026", "23–24 Nov 2026"]


def test_a_rate_of_nothing_is_a_gap_not_a_zero() -> None:
    chart = overview("bounce_rate")["chart"]
    assert [point["value"] for point in chart["points"]] == [0.5, None, 0.5]
    assert (chart["kind"], chart["top"]) == ("line", 1)


def test_hours_that_are_to_come_are_not_there_yet() -> None:
    rows = tuple((f"2026-11-24T{hour:02}:00:00+00:00", *values(hour)) for hour in range(13))
    report = HistoryReport(
        columns=("time", *METRICS),
        rows=rows,
        totals=dict(zip(METRICS, values(5), strict=True)),
        comparison=None,
        complete_through=None,
        truncated=False,
    )
    today = Days(date(2026, 11, 24), date(2026, 11, 24))
    now = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
    points = overview_data(Overview(report, today, "hour", "visitors", UTC, now, [], False))["chart"]["points"]
    assert len(points) == 24
    assert [point["open"] for point in points].index(True) == 12
    assert (points[13]["value"], points[13]["text"], points[23]["short"]) == (None, "not yet", "23:00")


def test_a_table_keeps_hostile_values_as_they_are() -> None:
    card, dimension = CARDS[1], DIMENSIONS["page"]
    rows = ((EVIL, 10, 20, 5, 0.5), (None, 5, 6, 1, None))
    totals = dict(zip(card.metrics_of(dimension), (12, 26, 6, 0.5), strict=True))
    columns = ("page", *card.metrics_of(dimension))
    report = HistoryReport(
        columns=columns, rows=rows, totals=totals, comparison=None, complete_through=None, truncated=False
    )
    data = table_data(card, dimension, report, [Filter("page", EVIL)])
    first, unknown = data["rows"]
    assert (first["name"], first["key"], first["picked"], first["share"]) == (EVIL, [EVIL], True, 1)
    assert (unknown["name"], unknown["key"], unknown["unknown"], unknown["share"]) == ("No page", [], True, 0.5)
    assert [cell["text"] for cell in unknown["cells"]] == ["5", "6", "1", "–"]
    assert data["count"] == "2"


COHORTS = (
    Cohort(date(2026, 11, 9), 100, (100, 40, 20), (True, True, False)),
    Cohort(date(2026, 11, 16), 300, (300, 60), (True, False)),
    Cohort(date(2026, 11, 23), 0, (0,), (False,)),
)


def test_the_mean_of_cohorts_is_weighted_and_leaves_out_what_is_not_over() -> None:
    assert weighted_mean(COHORTS, 0) == (400, 400)
    assert weighted_mean(COHORTS, 1) == (40, 100)
    assert weighted_mean(COHORTS, 2) is None


def test_the_grid_shows_the_newest_cohort_first_and_marks_what_is_not_over() -> None:
    query = RetentionQuery(from_date=date(2026, 11, 9), to_date=date(2026, 11, 24), granularity="week")
    data = cohorts_data(query, RetentionReport(cohorts=COHORTS, complete_through=None), "2026-11-16.1")
    assert [row["label"] for row in data["rows"]] == ["23–29 Nov 2026", "16–22 Nov 2026", "9–15 Nov 2026"]
    assert data["heads"] == ["Week 0", "Week 1", "Week 2"]
    assert data["rows"][0]["cells"] == []
    cell = data["rows"][1]["cells"][1]
    assert (cell["text"], cell["open"], cell["picked"]) == (f"20{NO_BREAK}%", True, True)
    assert cell["says"].startswith("16–22 Nov 2026, week 1: 60 of 300 visitors\nThis week is not over yet.")
    assert [mean["text"] if mean else None for mean in data["mean"]] == [f"100{NO_BREAK}%", f"40{NO_BREAK}%", None]


def test_periods_before_the_first_visitor_are_left_out_and_later_ones_without_any_are_not() -> None:
    query = RetentionQuery(from_date=date(2026, 10, 26), to_date=date(2026, 11, 24), granularity="week")
    nobody = tuple(Cohort(start, 0, (0,), (True,)) for start in (date(2026, 10, 26), date(2026, 11, 2)))
    data = cohorts_data(query, RetentionReport(cohorts=(*nobody, *COHORTS), complete_through=None))
    assert [row["size"] for row in data["rows"]] == ["0", "300", "100"]
    assert len(data["heads"]) == 3
    assert "before 9 Nov 2026" in data["before"]
    assert cohorts_data(query, RetentionReport(cohorts=COHORTS, complete_through=None))["before"] == ""
    assert cohorts_data(query, RetentionReport(cohorts=nobody, complete_through=None))["empty"]


def test_a_funnel_says_who_went_on_and_how_fast() -> None:
    steps = (FunnelStepResult(200, 1.0, None), FunnelStepResult(50, 0.25, 90.0), FunnelStepResult(50, 0.25, 5.0))
    names = [("page_view", ""), (EVIL, ""), ("c", "on page /x")]
    data = steps_data(names, FunnelReport(steps=steps, complete_through=None), "within 1 day")
    assert data["figure"] == f"25{NO_BREAK}%"
    assert data["says"] == "50 of 200 visitors went all the way within 1 day."
    second, third = data["steps"][1:]
    assert (second["name"], second["way"]["went_on"], second["way"]["lost"]) == (EVIL, f"25{NO_BREAK}%", "150 did not")
    assert second["way"]["median"] == f"1{NO_BREAK}m 30{NO_BREAK}s"
    assert third["way"]["lost"] == "everyone did"
    ended = FunnelReport(
        steps=(steps[0], FunnelStepResult(0, 0, None), FunnelStepResult(0, 0, None)), complete_through=None
    )
    ways = [step["way"]["lost"] for step in steps_data(names, ended, "within 1 day")["steps"][1:]]
    assert ways == ["200 did not", "nobody was left to go on"]
    nobody = FunnelReport(steps=(FunnelStepResult(0, 0, None),), complete_through=None)
    assert steps_data([("a", "")], nobody, "within 1 day")["empty"]


def test_a_timeline_groups_events_by_session_and_keeps_hostile_text() -> None:
    event = {"name": EVIL, "session_id": "s", "event_time": 1_000, "path": EVIL, "properties": {EVIL: EVIL, "n": 1.5}}
    session = VisitorSession("s", 1_000, 61_000, 3, 2, False, 60_000, 0, "/", "/", None, "Direct", None)
    report = VisitorReport(
        visitor_id="v",
        user_id=EVIL,
        traits={"country": "IN"},
        totals=VisitorTotals(3, 2, 1, 5_000, 1_000, 61_000),
        sessions=(session,),
        timeline=(event,),
        complete_through=None,
    )
    data = timeline_data(report, UTC)
    [shown] = data["sessions"]
    assert not shown["events"][0]["quiet"]
    assert shown["events"][0]["name"] == EVIL
    assert shown["events"][0]["properties"] == [(EVIL, EVIL), ("n", "1.5")]
    assert shown["missing"] == "2 older events not shown; the export has them all."
    assert shown["from"] == "from Direct"
    assert {fact["key"]: fact["value"] for fact in data["facts"] if fact.get("key")}["events"] == "3"


def test_an_unknown_visitor_has_no_facts_but_advice() -> None:
    totals = VisitorTotals(0, 0, 0, 0, None, None)
    report = VisitorReport(
        visitor_id="v", user_id=None, traits={}, totals=totals, sessions=(), timeline=(), complete_through=None
    )
    data = timeline_data(report, UTC)
    assert data["facts"] == []
    assert data["empty"]


def test_engaged_time_is_said_in_words_unless_it_is_nonsense() -> None:
    def shown(told: Any) -> Any:
        event = {"name": "engagement", "session_id": "s", "event_time": 0, "properties": {"engaged_ms": told}}
        session = VisitorSession("s", 0, 0, 1, 0, False, 0, 0, None, None, None, None, None)
        report = VisitorReport(
            visitor_id="v",
            user_id=None,
            traits={},
            totals=VisitorTotals(1, 0, 1, 0, 0, 0),
            sessions=(session,),
            timeline=(event,),
            complete_through=None,
        )
        return timeline_data(report, UTC)["sessions"][0]["events"][0]

    assert (shown(12_000)["name"], shown(12_000)["properties"]) == (f"engaged 12{NO_BREAK}s", [])
    for nonsense in (True, "12", -1, 1e300, None):
        assert shown(nonsense)["name"] == "engagement"


def test_an_empty_live_page_tells_what_to_do_to_whoever_can_do_it() -> None:
    def said(role: Role, *, seen: bool = False) -> dict[str, Any]:
        return when_empty("shop & co", SignIn(role, role, 0), "http://x", seen=seen)

    assert said("admin")["title"] == "Waiting for the first event"
    assert said("admin", seen=True)["title"] == "Nobody in the last days"
    assert said("admin")["link"] == "/site-settings?site=shop+%26+co"
    assert said("guest") == said("viewer") == {"title": "No event yet"}

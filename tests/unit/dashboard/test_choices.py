"""What an address can say: periods, filters and steps, read without trusting it."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.filters import Filter, condition, parse, toggled
from dashboard.funnel_steps import OPS, Step, condition_words, default_steps, moved, parse_steps
from dashboard.periods import Days, days_of, end_of

TODAY = date(2026, 11, 24)


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        ("today", date(2026, 11, 24), TODAY),
        ("7d", date(2026, 11, 18), TODAY),
        ("30d", date(2026, 10, 26), TODAY),
        ("month", date(2026, 11, 1), TODAY),
        ("last-month", date(2026, 10, 1), date(2026, 10, 31)),
        ("12m", date(2025, 12, 1), TODAY),
        ("nonsense", date(2026, 11, 18), TODAY),
    ],
)
def test_periods(period: str, first: date, last: date) -> None:
    assert days_of(period, TODAY) == Days(first, last)


def test_a_custom_period_is_used_when_it_is_one() -> None:
    assert days_of("custom", TODAY, "2026-01-01", "2026-02-03") == Days(date(2026, 1, 1), date(2026, 2, 3))
    assert days_of("custom", TODAY, "2026-02-03", "2026-01-01") == Days(date(2026, 1, 1), date(2026, 2, 3))
    assert days_of("custom", TODAY, "2026-11-20", "2030-01-01") == Days(date(2026, 11, 20), TODAY)
    for first, last in (
        ("", ""),
        ("x", "2026-01-01"),
        ("2026-01-01", "2026-02-30"),
        ("0001-01-01", "9999-12-31"),
        ("0001-01-01", "0001-01-02"),
        ("2030-01-01", "2030-01-05"),
    ):
        assert days_of("custom", TODAY, first, last) == days_of("7d", TODAY)


@pytest.mark.parametrize(
    ("today", "first"), [(date(2026, 12, 31), date(2026, 1, 1)), (date(2024, 2, 29), date(2023, 3, 1))]
)
def test_twelve_months_are_those_of_the_calendar(today: date, first: date) -> None:
    assert days_of("12m", today) == Days(first, today)


@given(st.integers(min_value=0, max_value=3_600))
def test_every_range_has_a_granularity_to_begin_with(more: int) -> None:
    days = Days(TODAY - timedelta(days=more), TODAY)
    assert days.granularity() in days.granularities()


def test_hours_end_after_an_hour_even_when_clocks_change() -> None:
    zone = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 2, tzinfo=zone)
    again = end_of(first, "hour")
    assert (again.hour, again.timestamp() - first.timestamp()) == (2, 3_600)
    assert end_of(datetime(2026, 1, 1), "month") == datetime(2026, 2, 1)
    assert end_of(datetime(2026, 10, 19, tzinfo=zone), "week") == datetime(2026, 10, 26, tzinfo=zone)


@given(st.sampled_from(["country", "page", "properties.a:b%3A", "properties.%"]), st.none() | st.text(min_size=1))
def test_a_filter_comes_back_from_its_address(dimension: str, value: str | None) -> None:
    assert parse([str(Filter(dimension, value))]) == (Filter(dimension, value),)


def test_filters_of_an_address_are_bounded_and_known() -> None:
    assert parse(["country:IN", "nonsense:1", "country", "country:DE", "properties.:x"]) == (Filter("country", "DE"),)
    assert len(parse([f"properties.p{n}:x" for n in range(50)])) == 10


def test_a_second_click_takes_a_filter_away_and_another_value_replaces_it() -> None:
    one = toggled((), "country", "IN")
    assert toggled(one, "country", None) == (Filter("country", None),)
    assert toggled(one, "country", "IN") == ()
    both = toggled(one, "page", "/")
    assert condition(both) == {
        "all": [{"field": "country", "op": "eq", "value": "IN"}, {"field": "path", "op": "eq", "value": "/"}]
    }
    assert condition((Filter("country", None),)) == {"all": [{"field": "country", "op": "exists", "value": False}]}
    assert condition(()) is None


@given(st.text(min_size=1, max_size=64), st.sampled_from(list(OPS)), st.text(max_size=300))
def test_a_step_comes_back_from_its_address(event: str, op: str, path: str) -> None:
    step = Step(event, op, path if op else "")
    assert parse_steps([str(step)]) == (step,)


def test_steps_of_an_address_are_bounded_and_known() -> None:
    assert parse_steps(["", "~eq~/x", "a~nonsense~/x"]) == (Step("a"),)
    assert len(parse_steps(["a"] * 50)) == 10


def test_steps_move_and_say_what_they_ask() -> None:
    one, two = Step("page_view", "eq", "/pricing"), Step("signup")
    assert moved((one, two), 1, -1) == (two, one)
    assert one.condition() == {"field": "path", "op": "eq", "value": "/pricing"}
    assert condition_words(one) == "on page /pricing"
    assert Step("signup", "eq", "").condition() is None
    assert default_steps(["page_view", "engagement", "signup"]) == (Step("page_view"), Step("signup"))

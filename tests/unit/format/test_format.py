"""Numbers for people: short, never rounded into a lie, the same on every page."""

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pistats import format as fmt


def plain(text: str) -> str:
    return text.replace(fmt.NO_BREAK, " ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (999, "999"),
        (1234, "1,234"),
        (9_999, "9,999"),
        (10_000, "10k"),
        (12_345, "12.3k"),
        (123_456, "123k"),
        (999_999, "999k"),
        (1_000_000, "1M"),
        (4_567_890, "4.56M"),
        (2_000_000_000, "2bn"),
        (2.5, "2.5"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert fmt.number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (0, "0 %"),
        (0.0004, "< 0.1 %"),
        (0.043, "4.3 %"),
        (0.0999, "10 %"),
        (0.43, "43 %"),
        (0.9951, "99.5 %"),
        (0.99999, "99.9 %"),
        (1, "100 %"),
    ],
)
def test_shares(share: float | None, text: str) -> None:
    assert plain(fmt.percent(share)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.3, "< 1 s"),
        (42.4, "42 s"),
        (59.6, "1 m"),
        (252, "4 m 12 s"),
        (11_100, "3 h 5 m"),
        (7_200, "2 h"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert plain(fmt.duration(seconds)) == text


def test_a_metric_is_written_after_its_kind() -> None:
    assert plain(fmt.metric("bounce_rate", 0.43)) == "43 %"
    assert plain(fmt.metric("visit_duration", 252)) == "4 m 12 s"
    assert fmt.metric("views_per_session", 2.4) == "2.40"
    assert fmt.metric("visitors", 12_345) == "12.3k"
    assert fmt.metric_exact("visitors", 12_345) == "12,345"


def test_a_change_says_its_direction_in_words() -> None:
    up, down = fmt.change("visitors", 112, 100), fmt.change("bounce_rate", 0.3, 0.4)
    assert up is not None
    assert down is not None
    assert (up.direction, plain(up.text), up.words, up.good) == ("up", "12 %", "up from 100", True)
    assert (down.direction, plain(down.words), down.good) == ("down", "down from 40 %", True)
    assert fmt.change("visitors", 5, None) is None
    assert fmt.change("visitors", 0, 0) is None
    new, huge = fmt.change("visitors", 5, 0), fmt.change("visitors", 5_000, 10)
    assert new is not None
    assert huge is not None
    assert new.direction == "new"
    assert huge.text == "500×"
    hardly, slightly = fmt.change("visit_duration", 99.95, 100), fmt.change("visit_duration", 99.8, 100)
    assert hardly is not None
    assert slightly is not None
    assert (plain(hardly.text), hardly.good) == ("< 0.1 %", None)
    assert (plain(slightly.text), slightly.good) == ("0.2 %", False)


def test_ranges_of_days_say_nothing_twice() -> None:
    assert fmt.days(date(2026, 11, 3), date(2026, 11, 3)) == "3 Nov 2026"
    assert fmt.days(date(2026, 11, 3), date(2026, 11, 9)) == "3–9 Nov 2026"
    assert fmt.days(date(2026, 10, 28), date(2026, 11, 3)) == "28 Oct – 3 Nov 2026"
    assert fmt.days(date(2025, 12, 29), date(2026, 1, 4)) == "29 Dec 2025 – 4 Jan 2026"


def test_periods_are_named_by_their_granularity() -> None:
    start = datetime(2026, 11, 23, 14)
    assert fmt.period(start, "hour") == "Mon 23 Nov 2026, 14:00"
    assert fmt.period(start, "day") == "Mon 23 Nov 2026"
    assert fmt.period(start, "week") == "23–29 Nov 2026"
    assert fmt.period(start, "month") == "November 2026"
    assert fmt.period_short(start, "hour") == "14:00"
    assert fmt.period_short(start, "month") == "Nov 2026"


@given(st.floats(min_value=0.01, max_value=1e12), st.sampled_from(["visitors", "visit_duration"]))
def test_the_axis_holds_the_largest_value_and_wastes_at_most_half(most: float, name: str) -> None:
    top = fmt.axis_top(name, most)
    assert top >= most * (1 - 1e-9)
    assert top <= max(4, most * 3.01)


def test_the_middle_of_an_axis_of_few_is_a_whole_number() -> None:
    assert [fmt.axis_top("visitors", most) for most in (0, 3, 5, 7, 9, 10, 11)] == [4, 4, 6, 8, 10, 10, 12]


@given(st.integers(min_value=0, max_value=10**15))
def test_short_numbers_never_claim_more_than_there_is(value: int) -> None:
    text = fmt.number(value)
    factor = {"k": 10**3, "M": 10**6, "n": 10**9}.get(text[-1], 1)
    shown = float(text.rstrip("kMbn").replace(",", "")) * factor
    assert shown <= value * (1 + 1e-12)
    assert shown >= value * 0.98

"""Numbers as people read them: 1,234 · 12.3k · 4 m 12 s · 43 %. Every page says the same number the same way."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

NOTHING = "–"
"""Shown where there is no value: a rate of nothing is not zero."""

COMPACT_FROM = 10_000
"""From here on the last digits say nothing at a glance: 12.3k. The exact number is one hover away."""

NO_BREAK = "\u00a0"
"""Between a number and its unit, so that no line breaks there."""

_SUFFIXES = ((1_000_000_000, "bn"), (1_000_000, "M"), (1_000, "k"))
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def number(value: float | None) -> str:
    """1,234 below ten thousand, then 12.3k, 4.57M, 2bn. Never rounds up to a thousand of its own unit."""
    if value is None:
        return NOTHING
    if abs(value) < COMPACT_FROM:
        return exact(value)
    unit, suffix = next(step for step in _SUFFIXES if abs(value) >= step[0])
    digits = 2 if abs(value) < 10 * unit else 1 if abs(value) < 100 * unit else 0
    # Cut, not rounded: 999,999 is not yet a million.
    cut = math.trunc(value / unit * 10**digits) / 10**digits
    return f"{cut:.{digits}f}".rstrip("0").rstrip(".") + suffix if digits else f"{cut:.0f}{suffix}"


def exact(value: float | None) -> str:
    """Every digit of a whole number, with thousands separated; other numbers with up to two decimals."""
    if value is None:
        return NOTHING
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def ratio(value: float | None) -> str:
    """A number of things per thing: 2.41."""
    return NOTHING if value is None else f"{value:,.2f}"


def percent(share: float | None) -> str:
    """A share of 1: 43 %, 4.3 %, < 0.1 %. Only everything is 100 %, and only nothing is 0 %."""
    if share is None:
        return NOTHING
    hundredths = share * 100
    if 0 < hundredths < 0.1:
        return _unit("< 0.1", "%")
    if 99 < hundredths < 100:
        return _unit(f"{min(hundredths, 99.9):.1f}", "%")
    return _unit(f"{hundredths:.0f}" if hundredths == 0 or hundredths >= 9.95 else f"{hundredths:.1f}", "%")


def duration(seconds: float | None) -> str:
    """A length of time in its two largest units: 42 s, 4 m 12 s, 3 h 05 m, 2 d 4 h."""
    if seconds is None:
        return NOTHING
    whole = round(seconds)
    if whole < 1 and seconds > 0:
        return _unit("< 1", "s")
    if whole < _MINUTE_S:
        return _unit(f"{whole}", "s")
    if whole < _HOUR_S:
        return _units(whole, _MINUTE_S, "m", 1, "s")
    if whole < _DAY_S:
        return _units(whole, _HOUR_S, "h", _MINUTE_S, "m")
    return _units(whole, _DAY_S, "d", _HOUR_S, "h")


def _units(seconds: int, large: int, large_name: str, small: int, small_name: str) -> str:
    more = seconds % large // small
    return _unit(f"{seconds // large}", large_name) + (f" {_unit(str(more), small_name)}" if more else "")


def _unit(text: str, unit: str) -> str:
    return f"{text}{NO_BREAK}{unit}"


METRICS: dict[str, Callable[[float | None], str]] = {
    "bounce_rate": percent,
    "visit_duration": duration,
    "engaged_time": duration,
    "views_per_session": ratio,
}
"""How a metric is written that is no plain count."""

LESS_IS_BETTER = frozenset({"bounce_rate"})
"""Metrics of which a rise is bad news."""

LEAST_CHANGE = 0.001
"""Smaller changes are no news, good or bad: they are written as `< 0.1 %`."""


def metric(name: str, value: float | None) -> str:
    """`value` of the metric `name`, short."""
    return METRICS.get(name, number)(value)


def metric_exact(name: str, value: float | None) -> str:
    """`value` of the metric `name` with every digit that it has."""
    return METRICS.get(name, exact)(value)


@dataclass(frozen=True, slots=True)
class Change:
    """How a number differs from an earlier one. `direction`: up, down, same, or new when there was nothing before."""

    direction: str
    text: str
    words: str
    good: bool | None


def change(name: str, now: float | None, before: float | None) -> Change | None:
    """The change of a metric against the period before; None when there is nothing to compare."""
    if now is None or before is None:
        return None
    earlier = metric_exact(name, before)
    if before == 0:
        return None if now == 0 else Change("new", "new", f"nothing in the period before ({earlier})", None)
    if now == before:
        return Change("same", _unit("0", "%"), f"the same as before ({earlier})", None)
    up, part = now > before, abs(now - before) / before
    text = percent(part) if now < 10 * before else f"{number(now / before)}×"
    good = None if part < LEAST_CHANGE else up != (name in LESS_IS_BETTER)
    return Change("up" if up else "down", text, f"{'up' if up else 'down'} from {earlier}", good)


# Times


def day(value: date) -> str:
    """24 Nov 2026."""
    return f"{value.day} {value:%b %Y}"


def weekday(value: date) -> str:
    """Tue 24 Nov 2026."""
    return f"{value:%a} {day(value)}"


def days(first: date, last: date) -> str:
    """A range of days without what both have in common: 3–9 Nov 2026, 28 Oct – 3 Nov 2026."""
    if first == last:
        return day(first)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{day(last)}"
    return f"{first.day} {first:%b} – {day(last)}" if first.year == last.year else f"{day(first)} – {day(last)}"


def timezone(name: str) -> str:
    """A time zone as people write it: America/New York."""
    return name.replace("_", " ")


def period(start: datetime, granularity: str) -> str:
    """The period of a row by its start, in full: Tue 24 Nov 2026 14:00, 23–29 Nov 2026, November 2026."""
    if granularity == "hour":
        return f"{weekday(start)}, {start:%H:%M}"
    if granularity == "week":
        return days(start.date(), start.date() + timedelta(days=6))
    return f"{start:%B %Y}" if granularity == "month" else weekday(start)


def period_short(start: datetime, granularity: str) -> str:
    """The same for an axis: 14:00, 24 Nov, Nov 2026."""
    if granularity == "hour":
        return f"{start:%H:%M}" if start.hour else f"{start.day} {start:%b}"
    return f"{start:%b %Y}" if granularity == "month" else f"{start.day} {start:%b}"


_DURATIONS_S = (4, 10, 20, 30, 60, 120, 240, 360, 480, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400)
_SMALL_TOPS = (4, 6, 8, 10)
"""The half of 5 is no number of visitors."""
_STEPS = (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10)


def axis_top(name: str, most: float) -> float:
    """Where the axis of a metric ends that begins at 0: `most` fits, and the half of it is a round number, too."""
    if name == "bounce_rate":
        return 1.0
    if METRICS.get(name) is duration:
        return next((top for top in _DURATIONS_S if top >= most), _decimal_top(most))
    return next((float(top) for top in _SMALL_TOPS if top >= most), None) or _decimal_top(most)


def _decimal_top(most: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(most))
    # 4 × 0.1 is more than 0.4: the hair's breadth keeps such a value on its own step.
    return next(step * power for step in _STEPS if step * power >= most * (1 - 1e-9))

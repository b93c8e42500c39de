"""Ranges of days as people ask for them, and the granularities that suit them."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pistats.errors import QueryError
from pistats.reports.history import Compare, check_range

CUSTOM = "custom"

PERIODS = {
    "today": "Today",
    "7d": "7 days",
    "30d": "30 days",
    "month": "This month",
    "last-month": "Last month",
    "12m": "12 months",
    CUSTOM: "Custom",
}
"""What stands in the address, and what people read."""

DEFAULT = "7d"

COMPARED: dict[str, Compare] = {"month": "previous_month", "last-month": "previous_month", "12m": "previous_year"}
"""What a period is compared with where that is not the same number of days right before."""

EARLIEST = date(2000, 1, 1)
"""A year before it is a mistyped one."""

GRANULARITIES = {"hour": "Hour", "day": "Day", "week": "Week", "month": "Month"}

MAX_DAYS = {"hour": 31, "day": 400, "week": 2_800, "month": 3_660}
"""A chart of more points than pixels says nothing."""

MIN_DAYS = {"hour": 1, "day": 2, "week": 8, "month": 32}
"""A single period needs no chart."""


@dataclass(frozen=True, slots=True)
class Days:
    """Days of the site's calendar, both inclusive."""

    first: date
    last: date

    @property
    def count(self) -> int:
        return (self.last - self.first).days + 1

    def granularities(self) -> dict[str, str]:
        """The granularities that make sense for so many days."""
        return {key: name for key, name in GRANULARITIES.items() if MIN_DAYS[key] <= self.count <= MAX_DAYS[key]}

    def granularity(self) -> str:
        """The one to begin with."""
        return "hour" if self.count == 1 else "day" if self.count <= 92 else "week" if self.count <= 400 else "month"


def days_of(period: str, today: date, first: str = "", last: str = "") -> Days:
    """The days of a period's key. `first` and `last`: ISO dates of a custom one; what cannot be read falls back."""
    if period == "today":
        return Days(today, today)
    if period == "30d":
        return Days(today - timedelta(days=29), today)
    if period == "month":
        return Days(today.replace(day=1), today)
    if period == "last-month":
        end = today.replace(day=1) - timedelta(days=1)
        return Days(end.replace(day=1), end)
    if period == "12m":
        return Days(today.replace(year=today.year - (today.month < 12), month=today.month % 12 + 1, day=1), today)
    if period == CUSTOM and (asked := _custom(first, last, today)):
        return asked
    return Days(today - timedelta(days=6), today)


def _custom(first: str, last: str, today: date) -> Days | None:
    """In whichever order they come, and only as far as today; None when nothing of that is left."""
    try:
        begins, ends = sorted((date.fromisoformat(first), date.fromisoformat(last)))
        asked = Days(begins, min(ends, today))
        check_range(asked.first, asked.last)
    except (ValueError, QueryError):
        return None
    return asked if begins >= EARLIEST else None


def end_of(start: datetime, granularity: str) -> datetime:
    """When the period that starts at `start` (local time) is over."""
    if granularity == "hour":
        # Hours count on through a change of the clocks; the zone's arithmetic on wall time would not.
        return datetime.fromtimestamp(start.timestamp() + 3_600, start.tzinfo)
    if granularity == "month":
        return (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=7 if granularity == "week" else 1)

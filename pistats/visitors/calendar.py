"""Days, weeks from Monday and months, as integers. A day is the number of days since 1970-01-01."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

Granularity = Literal["day", "week", "month"]
GRANULARITIES: tuple[Granularity, ...] = ("day", "week", "month")

QUARTER_MS = 900_000
"""The offsets of time zones are multiples of a quarter of an hour, so all of a quarter lies in one local day."""

MONDAY = 3
"""Days from the Monday before to 1970-01-01, a Thursday."""

EPOCH = date(1970, 1, 1)
MAX_DAY = (date.max - EPOCH).days


class LocalDays(dict[int, int]):
    """The local day of each quarter of an hour (Unix ms // `QUARTER_MS`) in one time zone; worked out once."""

    def __init__(self, zone: ZoneInfo) -> None:
        super().__init__()
        self._zone = zone

    def __missing__(self, quarter: int) -> int:
        local = datetime.fromtimestamp(quarter * QUARTER_MS / 1000, UTC).astimezone(self._zone)
        day = self[quarter] = (local.date() - EPOCH).days
        return day


@lru_cache(65_536)
def month_of(day: int) -> int:
    """Months since January 1970."""
    found = date_of(day)
    return (found.year - 1970) * 12 + found.month - 1


def period_of(granularity: Granularity, day: int) -> int:
    """The period that a day lies in: consecutive periods have consecutive numbers."""
    if granularity == "day":
        return day
    return (day + MONDAY) // 7 if granularity == "week" else month_of(day)


def first_day(granularity: Granularity, period: int) -> int:
    """The day on which a period starts."""
    if granularity == "day":
        return period
    return period * 7 - MONDAY if granularity == "week" else _month_start(period)


@lru_cache(4_096)
def _month_start(month: int) -> int:
    return day_of(date(1970 + month // 12, month % 12 + 1, 1))


def first_date(granularity: Granularity, period: int) -> date:
    """The date on which a period starts."""
    return date_of(first_day(granularity, period))


def date_of(day: int) -> date:
    """The date of a day number."""
    return EPOCH + timedelta(days=day)


def day_of(when: date) -> int:
    """The day number of a date."""
    return (when - EPOCH).days

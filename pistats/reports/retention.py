"""Retention: how many visitors of a cohort came back, period by period."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pistats.errors import QueryError
from pistats.reports.history import check_range

MAX_PERIODS = 400
"""Cohorts of one grid, and periods of one cohort: a year of days."""

MAX_NAME_CHARS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionQuery:
    """One retention grid: cohorts that start from `from_date` to `to_date` (days in the site's zone, inclusive).

    `mode` "first": a visitor belongs to the cohort of the true first event ever (with `event`: of the first such event
    ever). "recurring": to every period with an event (with `event`: with such an event).
    `returns` "on": came back in exactly that period; "on_or_after": in that period or in a later one of the range.
    `event`, `return_event`: the event's name; None is any event.
    `filter`: a condition that the events of returning must meet, and in mode "recurring" also those of the cohort.
    """

    from_date: date
    to_date: date
    granularity: Literal["day", "week", "month"] = "day"
    mode: Literal["first", "recurring"] = "first"
    returns: Literal["on", "on_or_after"] = "on"
    event: str | None = None
    return_event: str | None = None
    week_start: Literal["monday", "sunday"] = "monday"
    filter: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_range(self.from_date, self.to_date)
        for what, value, known in (
            ("granularity", self.granularity, ("day", "week", "month")),
            ("mode", self.mode, ("first", "recurring")),
            ("return", self.returns, ("on", "on_or_after")),
            ("week_start", self.week_start, ("monday", "sunday")),
        ):
            if value not in known:
                raise QueryError(f"`{what}` cannot be {str(value)[:40]!r}: use one of {', '.join(known)}.")
        for what, name in (("event", self.event), ("return_event", self.return_event)):
            if name is not None and not 1 <= len(name) <= MAX_NAME_CHARS:
                raise QueryError(f"`{what}` is the name of an event: 1 to {MAX_NAME_CHARS} characters.")
        days = (self.to_date - self.from_date).days + 1
        if self.granularity == "day" and days > MAX_PERIODS:
            raise QueryError(f"{days} daily cohorts are too many to read: use weeks, or {MAX_PERIODS} days at most.")


@dataclass(frozen=True, slots=True)
class Cohort:
    """One row: visitors of the cohort that begins on `start`, and how many returned in period 0, 1, 2 … after it.

    `complete[n]`: that period is over and everything received until its end is counted. An unfinished one is a number
    so far, not a zero. "On or after" numbers of finished periods still grow while later periods are added.
    """

    start: date
    size: int
    returned: tuple[int, ...]
    complete: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionReport:
    """One row per cohort period of the range, also for those without visitors. The last cohort has one period."""

    cohorts: tuple[Cohort, ...]
    complete_through: int | None

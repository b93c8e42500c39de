"""Retention: how many visitors of a cohort came back, period by period."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from pistats.errors import QueryError
from pistats.reports.answer import RollupAnswer
from pistats.reports.history import check_range
from pistats.sites import Site
from pistats.warehouse.activity import Activity, activity_until
from pistats.warehouse.cohorts import CohortCounts, CohortQuestion, count_cohorts
from pistats.warehouse.condition import compile_condition, is_text
from pistats.warehouse.engine import Connection
from pistats.warehouse.periods import DAY_MS, SiteDays, date_of, day_start_ms, next_period, period_start

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
            if name is not None and not (name and is_text(name, MAX_NAME_CHARS)):
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


class RetentionAnswer(RollupAnswer):
    """Answers retention questions. With rollups, those about any event know visitors whose raw events are gone, too."""

    async def of(self, site: Site, query: RetentionQuery) -> RetentionReport:
        """The report; see `RetentionReport`. Reads only, so it may be repeated."""
        days = whole_periods(site.timezone, query)
        asked = question(query, days)

        activity: Activity | None = None
        if asked.of_any_event and self._rollups is not None:
            activity, events = await activity_until(
                self._source, self._rollups.store, self._rollups.storage, site.name, site.timezone, days.to_date
            )
        else:
            events = await self._source.events(site.name, 0, days.to_ms + DAY_MS)

        def work(connection: Connection) -> CohortCounts:
            return count_cohorts(connection, asked, activity.relation(connection) if activity else None)

        counts = await self._engine.call(events, work)
        now = self._clock()
        through = now if events.complete_through is None else min(now, events.complete_through)
        return RetentionReport(
            cohorts=grid(counts, asked, on_or_after=query.returns == "on_or_after", now_ms=now, through_ms=through),
            complete_through=events.complete_through,
        )


def question(query: RetentionQuery, days: SiteDays) -> CohortQuestion:
    """What is counted for a query, over its whole periods."""
    return CohortQuestion(
        days=days,
        granularity=query.granularity,
        week_start=query.week_start,
        first=query.mode == "first",
        event=query.event,
        return_event=query.return_event,
        condition=None if query.filter is None else compile_condition(query.filter),
    )


def whole_periods(timezone: str, query: RetentionQuery) -> SiteDays:
    """The range, widened to whole periods at both ends."""
    first = period_start(query.from_date, query.granularity, query.week_start)
    last = period_start(query.to_date, query.granularity, query.week_start)
    return SiteDays(timezone, first, next_period(last, query.granularity) - timedelta(days=1))


def grid(
    counts: CohortCounts, asked: CohortQuestion, *, on_or_after: bool, now_ms: int, through_ms: int
) -> tuple[Cohort, ...]:
    """One row for each period of the range that has begun by `now_ms`; a period is complete if over by `through_ms`."""
    zone = asked.days.timezone

    def over(period: int) -> bool:
        return day_start_ms(zone, next_period(date_of(period), asked.granularity)) <= through_ms

    periods = asked.days.periods(asked.granularity, asked.week_start)
    periods = [period for period in periods if day_start_ms(zone, date_of(period)) <= now_ms]
    complete = [over(period) for period in periods]
    rows = []
    for at, cohort in enumerate(periods):
        returned = [counts.returned.get((cohort, period), 0) for period in periods[at:]]
        if on_or_after:
            lasts = [counts.returned_last.get((cohort, period), 0) for period in periods[at:]]
            returned = [sum(lasts[since:]) for since in range(len(lasts))]
        rows.append(Cohort(date_of(cohort), counts.sizes.get(cohort, 0), tuple(returned), tuple(complete[at:])))
    return tuple(rows)

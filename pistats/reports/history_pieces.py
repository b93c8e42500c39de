"""Which rollups and which ranges of events answer a history question: each day is in one of them."""

from dataclasses import dataclass
from datetime import date, timedelta

from pistats.reports.history import HistoryQuery
from pistats.warehouse.activity import runs_of
from pistats.warehouse.periods import Granularity, SiteDays, day_of_ms, next_period, period_start
from pistats.warehouse.rollup_files import DayState, Rollup, period_holds

PERIODS: tuple[Granularity, ...] = ("week", "month")


@dataclass(frozen=True, slots=True)
class Pieces:
    """Rows of one granularity in rollups, and ranges to count from events.

    `distinct`: `visitors` is one number for all. Then the rollups are days, whose files of visitors are put together
    with the visitors of the ranges.
    """

    granularity: Granularity
    rollups: tuple[Rollup, ...] = ()
    ranges: tuple[SiteDays, ...] = ()
    distinct: bool = False


def may_use_rollups(query: HistoryQuery) -> bool:
    """Rollups hold people's events without any filter, by one dimension."""
    return query.filter is None and query.bots == "exclude" and len(set(query.by) - {"time"}) <= 1


def pieces_of_rows(
    query: HistoryQuery, days: SiteDays, state: DayState, periods: dict[Granularity, dict[date, Rollup]]
) -> Pieces:
    """Where the rows come from."""
    if "time" not in query.by:
        if not query.by or "visitors" not in query.metrics:
            return pieces_of_total(query, days, state, periods)
        whole = _whole_period(days, state, periods)
        return whole or Pieces("day", ranges=(days,))
    if query.granularity in ("hour", "day"):
        return Pieces(query.granularity, tuple(state.counted.values()), _runs(days.timezone, state.uncounted))
    rollups, ranges = [], []
    for start in _starts(days, query.granularity):
        last = next_period(start, query.granularity) - timedelta(days=1)
        rollup = periods[query.granularity].get(start)
        inside = days.from_date <= start and last <= days.to_date
        if rollup is not None and inside and period_holds(rollup, state, last):
            rollups.append(rollup)
        else:
            ranges.append(SiteDays(days.timezone, max(start, days.from_date), min(last, days.to_date)))
    return Pieces(query.granularity, tuple(rollups), tuple(ranges))


def pieces_of_total(
    query: HistoryQuery, days: SiteDays, state: DayState, periods: dict[Granularity, dict[date, Rollup]]
) -> Pieces:
    """Where a number over the whole range comes from. The day on which the range ends early is counted from events."""
    if days.end_ms is not None:
        return _pieces_of_total_until(query, days, days.end_ms, state)
    whole = _whole_period(days, state, periods)
    distinct = "visitors" in query.metrics
    runs = _runs(days.timezone, state.uncounted)
    return whole or Pieces("day", tuple(state.counted.values()), runs, distinct=distinct)


def _pieces_of_total_until(query: HistoryQuery, days: SiteDays, end_ms: int, state: DayState) -> Pieces:
    last = min(day_of_ms(days.timezone, end_ms), days.to_date)
    counted = tuple(rollup for day, rollup in state.counted.items() if day < last)
    runs = _runs(days.timezone, tuple(day for day in state.uncounted if day < last))
    part = SiteDays(days.timezone, last, last, end_ms)
    return Pieces("day", counted, (*runs, part), distinct="visitors" in query.metrics)


def _whole_period(days: SiteDays, state: DayState, periods: dict[Granularity, dict[date, Rollup]]) -> Pieces | None:
    """The one rollup of exactly this range, if it holds."""
    if days.from_date == days.to_date and days.from_date in state.counted:
        return Pieces("day", (state.counted[days.from_date],))
    for granularity in PERIODS:
        rollup = periods[granularity].get(days.from_date)
        ends = next_period(days.from_date, granularity) - timedelta(days=1)
        if rollup is not None and ends == days.to_date and period_holds(rollup, state, ends):
            return Pieces(granularity, (rollup,))
    return None


def _starts(days: SiteDays, granularity: Granularity) -> list[date]:
    starts = [period_start(days.from_date, granularity)]
    while (following := next_period(starts[-1], granularity)) <= days.to_date:
        starts.append(following)
    return starts


def _runs(timezone: str, days: tuple[date, ...]) -> tuple[SiteDays, ...]:
    """The days as ranges without gaps."""
    return tuple(SiteDays(timezone, first, last) for first, last in runs_of(days))

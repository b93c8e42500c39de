"""Which rollups and which ranges of events answer a history question: each day is in one of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from pistats.reports.history import HistoryQuery
from pistats.warehouse.activity import runs_of
from pistats.warehouse.periods import Granularity, SiteDays, day_of_ms, days_of, next_period, period_start
from pistats.warehouse.rollup_files import DayState, Rollup, period_holds

PERIODS: tuple[Granularity, ...] = ("week", "month")


@dataclass(frozen=True, slots=True)
class Merge:
    """Days that are put together to one number for each value: of rollups, and ranges to count from events.

    `period`: what `time` is in its rows, where there is a time.
    """

    days: tuple[Rollup, ...] = ()
    ranges: tuple[SiteDays, ...] = ()
    period: int | None = None

    @property
    def alone(self) -> bool:
        """Whether its numbers are those of its only part, so that there is nothing to put together."""
        return len(self.days) + len(self.ranges) <= 1


@dataclass(frozen=True, slots=True)
class Pieces:
    """Rows of one granularity in rollups, ranges to count from events, and days to put together."""

    granularity: Granularity
    rollups: tuple[Rollup, ...] = ()
    ranges: tuple[SiteDays, ...] = ()
    merges: tuple[Merge, ...] = ()

    def all_ranges(self) -> Iterator[SiteDays]:
        """Everything to count from events."""
        yield from self.ranges
        for merge in self.merges:
            yield from merge.ranges


def may_use_rollups(query: HistoryQuery) -> bool:
    """Rollups hold people's events without any filter, by one dimension."""
    return query.filter is None and query.bots == "exclude" and len(set(query.by) - {"time"}) <= 1


def pieces_of_rows(
    query: HistoryQuery, days: SiteDays, state: DayState, periods: dict[Granularity, dict[date, Rollup]]
) -> Pieces:
    """Where the rows come from."""
    if "time" not in query.by:
        return _of_all(days, state, periods, by_dimension=bool(query.by) and "visitors" in query.metrics)
    if query.granularity in ("hour", "day"):
        return Pieces(query.granularity, tuple(state.counted.values()), _runs(days.timezone, state.uncounted))
    rollups, merges = [], []
    by_dimension = len(query.by) > 1 and "visitors" in query.metrics
    for start in _starts(days, query.granularity):
        last = next_period(start, query.granularity) - timedelta(days=1)
        rollup = periods[query.granularity].get(start)
        inside = days.from_date <= start and last <= days.to_date
        if rollup is not None and inside and period_holds(rollup, state, last):
            rollups.append(rollup)
        else:
            part = SiteDays(days.timezone, max(start, days.from_date), min(last, days.to_date))
            merges.append(_merge(part, state, days_of(start), by_dimension=by_dimension))
    return Pieces(query.granularity, tuple(rollups), merges=tuple(merges))


def pieces_of_total(days: SiteDays, state: DayState, periods: dict[Granularity, dict[date, Rollup]]) -> Pieces:
    """Where a number over the whole range comes from. The day on which the range ends early is counted from events."""
    if days.end_ms is not None:
        return Pieces("day", merges=(_merge_until(days, days.end_ms, state),))
    return _of_all(days, state, periods, by_dimension=False)


def _merge_until(days: SiteDays, end_ms: int, state: DayState) -> Merge:
    last = min(day_of_ms(days.timezone, end_ms), days.to_date)
    counted = tuple(rollup for day, rollup in state.counted.items() if day < last)
    runs = _runs(days.timezone, tuple(day for day in state.uncounted if day < last))
    return Merge(counted, (*runs, SiteDays(days.timezone, last, last, end_ms)))


def _of_all(
    days: SiteDays, state: DayState, periods: dict[Granularity, dict[date, Rollup]], *, by_dimension: bool
) -> Pieces:
    """One rollup of exactly this range, if it holds, else its days."""
    if days.from_date == days.to_date and days.from_date in state.counted:
        return Pieces("day", (state.counted[days.from_date],))
    for granularity in PERIODS:
        rollup = periods[granularity].get(days.from_date)
        ends = next_period(days.from_date, granularity) - timedelta(days=1)
        if rollup is not None and ends == days.to_date and period_holds(rollup, state, ends):
            return Pieces(granularity, (rollup,))
    return Pieces("day", merges=(_merge(days, state, None, by_dimension=by_dimension),))


def _merge(days: SiteDays, state: DayState, period: int | None, *, by_dimension: bool) -> Merge:
    """The days of a range. `by_dimension`: visitors by a dimension, which rollups of the first format don't have."""
    inside = [one for one in state.counted.values() if days.from_date <= one.start <= days.to_date]
    counted = tuple(one for one in inside if one.has_seen or not by_dimension)
    uncounted = {day for day in state.uncounted if days.from_date <= day <= days.to_date}
    uncounted |= {one.start for one in inside if one not in counted}
    return Merge(counted, _runs(days.timezone, tuple(sorted(uncounted))), period)


def _starts(days: SiteDays, granularity: Granularity) -> list[date]:
    starts = [period_start(days.from_date, granularity)]
    while (following := next_period(starts[-1], granularity)) <= days.to_date:
        starts.append(following)
    return starts


def _runs(timezone: str, days: tuple[date, ...]) -> tuple[SiteDays, ...]:
    """The days as ranges without gaps."""
    return tuple(SiteDays(timezone, first, last) for first, last in runs_of(days))

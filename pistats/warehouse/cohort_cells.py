"""All retention cells of a site, from the warehouse; and how they differ from those kept in real time."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import pyarrow as pa

from pistats.mongo.indexes import Database
from pistats.visitors.calendar import GRANULARITIES
from pistats.visitors.days import MAX_PERIODS
from pistats.warehouse.activity import Activity
from pistats.warehouse.cohorts import CohortCounts, CohortQuestion, add_counts, count_cohorts
from pistats.warehouse.measures import bucket_parts
from pistats.warehouse.periods import Granularity, SiteDays, date_of, day_start_ms, next_period, period_start

UNIT_DAYS = 5_000_000
"""Events, or days of visitors, of one unit: some 300 MB."""

CELLS_SCHEMA = pa.schema(
    [
        ("granularity", pa.string()),
        ("cohort", pa.date32()),
        ("period", pa.int32()),
        ("size", pa.int64()),
        ("returned", pa.int64()),
        ("returned_on_or_after", pa.int64()),
        ("complete", pa.bool_()),
    ]
)

CellKey = tuple[Granularity, date]
"""A cohort: the first day of its period."""


@dataclass(frozen=True, slots=True)
class CohortUnit:
    """One piece of work: everybody's days, what is asked of them, and the buckets to count."""

    activity: Activity
    question: CohortQuestion
    buckets: tuple[int, int]


CountCohorts = Callable[[Sequence[CohortUnit]], Sequence[CohortCounts]]


@dataclass(frozen=True, slots=True)
class Cells:
    """One cohort: its visitors, and how many returned so many periods later."""

    size: int
    returned: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One number that is not the same in both: of a cohort's size (`period` None), or of a period's returns."""

    site: str
    granularity: Granularity
    cohort: date
    period: int | None
    batch: int
    live: int

    def __str__(self) -> str:
        what = "size" if self.period is None else f"period {self.period}"
        return (
            f"{self.site}: {self.granularity} cohort {self.cohort}, {what}: {self.batch:,} in the warehouse, "
            f"{self.live:,} in real time"
        )


def count_cohort_unit(unit: CohortUnit) -> CohortCounts:
    """The counts of one unit. Reads only, so it may be repeated anywhere."""
    with duckdb.connect(config={"threads": 1, "memory_limit": "1GB"}) as connection:
        unit.activity.events.register(connection, "events")
        return count_cohorts(connection, unit.question, unit.activity.relation(connection), [unit.buckets])


def count_in_a_loop(units: Sequence[CohortUnit]) -> list[CohortCounts]:
    """`CountCohorts` without a framework."""
    return [count_cohort_unit(unit) for unit in units]


def questions(timezone: str, first: date, last: date) -> dict[Granularity, CohortQuestion]:
    """First-time cohorts from the first day to the last, for each granularity, in whole periods."""
    return {
        granularity: CohortQuestion(_whole(timezone, granularity, first, last), granularity)
        for granularity in GRANULARITIES
    }


def units_of(activity: Activity, question: CohortQuestion) -> list[CohortUnit]:
    """The pieces of one question: as many as everybody's days need to be counted in memory."""
    with duckdb.connect() as connection:
        activity.events.register(connection, "events")
        parts = bucket_parts(connection, UNIT_DAYS, activity.relation(connection))
    return [CohortUnit(activity, question, buckets) for buckets in parts]


def cells_of(question: CohortQuestion, counted: Sequence[CohortCounts]) -> dict[CellKey, Cells]:
    """Every cohort that has visitors."""
    counts = add_counts(counted)
    periods = question.days.periods(question.granularity)
    return {
        (question.granularity, date_of(cohort)): Cells(
            size, tuple(counts.returned.get((cohort, period), 0) for period in periods[periods.index(cohort) :])
        )
        for cohort, size in counts.sizes.items()
    }


def cells_table(question: CohortQuestion, counted: Sequence[CohortCounts], through_ms: int) -> pa.Table:
    """The cells as `CELLS_SCHEMA`. A period that is over by `through_ms` is complete."""
    counts = add_counts(counted)
    periods = question.days.periods(question.granularity)
    rows = []
    for cohort, size in sorted(counts.sizes.items()):
        later = periods[periods.index(cohort) :]
        lasts = [counts.returned_last.get((cohort, period), 0) for period in later]
        for number, period in enumerate(later):
            rows.append(
                {
                    "granularity": question.granularity,
                    "cohort": date_of(cohort),
                    "period": number,
                    "size": size,
                    "returned": counts.returned.get((cohort, period), 0),
                    "returned_on_or_after": sum(lasts[number:]),
                    "complete": is_over(question, date_of(period), through_ms),
                }
            )
    return pa.Table.from_pylist(rows, CELLS_SCHEMA)


def is_over(question: CohortQuestion, start: date, at_ms: int) -> bool:
    """Whether the period that begins on `start` has ended by then."""
    return day_start_ms(question.days.timezone, next_period(start, question.granularity)) <= at_ms


async def live_cells(group: Database, site: str) -> dict[CellKey, Cells]:
    """The cells that the consumers keep, all partitions together."""
    sizes: dict[CellKey, int] = defaultdict(int)
    returned: dict[CellKey, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    async for document in group["retention"].find({"_id.site": site}):
        key: CellKey = (document["_id"]["granularity"], date.fromisoformat(document["_id"]["cohort"]))
        sizes[key] += document["size"]
        for period, count in enumerate(document["returned"]):
            returned[key][period] += count
    return {
        key: Cells(size, tuple(returned[key][period] for period in range(max(returned[key], default=-1) + 1)))
        for key, size in sizes.items()
    }


def differences(
    site: str, question: CohortQuestion, batch: dict[CellKey, Cells], live: dict[CellKey, Cells], through_ms: int
) -> Iterator[Difference]:
    """Cell by cell, of periods that are over by `through_ms`: in the others both may be right at different moments."""
    nobody = Cells(0, ())
    granularity = question.granularity
    for key in sorted(key for key in {*batch, *live} if key[0] == granularity):
        cohort = key[1]
        one, other = batch.get(key, nobody), live.get(key, nobody)
        if not is_over(question, cohort, through_ms):
            continue
        if one.size != other.size:
            yield Difference(site, granularity, cohort, None, one.size, other.size)
        start = cohort
        for period in range(min(MAX_PERIODS, max(len(one.returned), len(other.returned)))):
            if is_over(question, start, through_ms) and _at(one, period) != _at(other, period):
                yield Difference(site, granularity, cohort, period, _at(one, period), _at(other, period))
            start = next_period(start, granularity)


def _at(cells: Cells, period: int) -> int:
    return cells.returned[period] if period < len(cells.returned) else 0


def _whole(timezone: str, granularity: Granularity, first: date, last: date) -> SiteDays:
    end = next_period(period_start(last, granularity), granularity) - timedelta(days=1)
    return SiteDays(timezone, period_start(first, granularity), end)

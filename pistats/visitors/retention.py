"""Retention cells in real time: how many visitors of a cohort came back in each later period.

A document of `retention`: `_id` {site, granularity, cohort (the date on which the period starts), partition}, `size`,
`returned` [n0, n1, …]. Partitions add up. After the number of partitions has changed a partition can hold negative
numbers: the visitor was added by one partition and moved to an earlier cohort by another.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from pistats.mongo.indexes import Database
from pistats.visitors.calendar import Granularity, day_of, first_date, period_of
from pistats.visitors.days import ActiveDays, Row

KEPT_CELLS = 4_000
"""Cells in memory per partition, at most some 15 MB: 400 cohorts of three granularities for three busy sites."""


class CellKey(NamedTuple):
    """A cohort: `cohort` is the number of its period."""

    site: str
    granularity: Granularity
    cohort: int


@dataclass(frozen=True, slots=True)
class RowChange:
    """One visitor more (`sign` 1) or less (-1) in these cells of a cohort; in its size too, if `sized`."""

    key: CellKey
    active: tuple[int, ...]
    sign: int
    sized: bool


@lru_cache(1_024)
def changes_of(site: str, before: ActiveDays | None, after: ActiveDays | None) -> tuple[RowChange, ...]:
    """What has to change when a visitor's days do. None: the visitor is not known, or not any more.

    Most visitors of a day are new, or were here on the same few days before: remembered, it costs next to nothing.
    """
    changes: list[RowChange] = []
    old = before.rows() if before else {}
    new = after.rows() if after else {}
    for granularity in old or new:
        changes += _row_changes(site, granularity, old.get(granularity), new.get(granularity))
    return tuple(changes)


def _row_changes(site: str, granularity: Granularity, old: Row | None, new: Row | None) -> list[RowChange]:
    if old and new and old.cohort == new.cohort:
        key = CellKey(site, granularity, new.cohort)
        more = tuple(period for period in new.active if period not in old.active)
        less = tuple(period for period in old.active if period not in new.active)
        return [RowChange(key, active, sign, sized=False) for active, sign in ((more, 1), (less, -1)) if active]
    rows = [(row, sign) for row, sign in ((old, -1), (new, 1)) if row]
    return [RowChange(CellKey(site, granularity, row.cohort), row.active, sign, sized=True) for row, sign in rows]


@dataclass(slots=True)
class Cohort:
    """One cohort's cells in one partition. `merge` is associative and commutative; an empty one is its identity."""

    size: int
    returned: list[int]

    def apply(self, change: RowChange) -> None:
        """Count one visitor more or less."""
        if change.sized:
            self.size += change.sign
        if change.active:
            self.returned += [0] * (max(change.active) + 1 - len(self.returned))
        for period in change.active:
            self.returned[period] += change.sign

    def merge(self, other: "Cohort") -> "Cohort":
        """Both together."""
        longer, shorter = sorted((self.returned, other.returned), key=len, reverse=True)
        filled = [*shorter, *[0] * (len(longer) - len(shorter))]
        return Cohort(self.size + other.size, [a + b for a, b in zip(longer, filled, strict=True)])


class RetentionCells:
    """The cells that one partition changes, in memory: whole documents of what was touched."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._cohorts: dict[CellKey, Cohort] = {}
        self._touched: set[CellKey] = set()

    def missing(self, changes: Iterable[RowChange]) -> list[dict[str, Any]]:
        """The `_id`s of cells to read before these changes."""
        keys = {change.key for change in changes}
        return [self._id(key) for key in sorted(keys - self._cohorts.keys())]

    def load(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Takes up stored cells. What is in memory already stays as it is."""
        for document in documents:
            self._cohorts.setdefault(key_of(document["_id"]), Cohort(document["size"], document["returned"]))

    def fold(self, changes: Sequence[RowChange]) -> None:
        """Apply the changes. Cells that were not loaded begin empty."""
        for change in changes:
            cohort = self._cohorts.get(change.key)
            if cohort is None:
                cohort = self._cohorts[change.key] = Cohort(0, [])
            cohort.apply(change)
            self._touched.add(change.key)

    def documents(self) -> list[dict[str, Any]]:
        """Whole documents of the cells touched since the last `committed`."""
        return [
            {"_id": self._id(key), "size": self._cohorts[key].size, "returned": list(self._cohorts[key].returned)}
            for key in sorted(self._touched)
        ]

    def committed(self) -> None:
        """What was touched is stored: forgets the cells that were not needed for longest."""
        for key in sorted(self._touched):
            self._cohorts[key] = self._cohorts.pop(key)
        self._touched.clear()
        while len(self._cohorts) > KEPT_CELLS:
            del self._cohorts[next(iter(self._cohorts))]

    def _id(self, key: CellKey) -> dict[str, Any]:
        cohort = first_date(key.granularity, key.cohort).isoformat()
        return {"site": key.site, "granularity": key.granularity, "cohort": cohort, "partition": self._partition}


async def ever_seen(group: Database, site: str) -> bool:
    """Whether a visitor of the site was ever counted, however long ago."""
    return await group["retention"].find_one({"_id.site": site}, {"_id": 1}) is not None


def key_of(document_id: Mapping[str, Any]) -> CellKey:
    """The key in a document's `_id`."""
    granularity: Granularity = document_id["granularity"]
    day = day_of(date.fromisoformat(document_id["cohort"]))
    return CellKey(document_id["site"], granularity, period_of(granularity, day))

"""The days on which a visitor was active: a mergeable value, and the rows of retention cells that follow from it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pistats.visitors.calendar import GRANULARITIES, Granularity, first_day, period_of

MAX_PERIODS = 400
"""Of one retention row: a year of days, and more weeks and months than anyone looks at. Bounds a cell's document."""

KEPT_DAYS = 7 * MAX_PERIODS
"""Days remembered from the first one on, in at most 350 bytes: enough for `MAX_PERIODS` weeks."""

_MASK = (1 << KEPT_DAYS) - 1


@dataclass(frozen=True, slots=True)
class ActiveDays:
    """A set of days, never empty: bit i of `bits` stands for the day `first_day + i`; bit 0 is always set.

    `merge` is the union: associative, commutative, idempotent. Days from `KEPT_DAYS` after the first one are left out.
    """

    first_day: int
    bits: int = 1

    @classmethod
    def of(cls, days: Iterable[int]) -> "ActiveDays":
        """The set of these days, at least one."""
        ordered = sorted(days)
        first = ordered[0]
        bits = 0
        for day in ordered:
            bits |= 1 << min(day - first, KEPT_DAYS)
        return cls(first, bits & _MASK)

    @classmethod
    def from_bytes(cls, first_day: int, data: bytes) -> "ActiveDays":
        """What `to_bytes` wrote."""
        return cls(first_day, int.from_bytes(data, "little"))

    def to_bytes(self) -> bytes:
        """The bits, lowest first: bit i is bit i % 8 of byte i // 8."""
        return self.bits.to_bytes((self.bits.bit_length() + 7) // 8, "little")

    def __contains__(self, day: int) -> bool:
        return day >= self.first_day and bool(self.bits >> (day - self.first_day) & 1)

    def __iter__(self) -> Iterator[int]:
        left = self.bits
        while left:
            lowest = left & -left
            yield self.first_day + lowest.bit_length() - 1
            left ^= lowest

    @property
    def last_day(self) -> int:
        """The newest day of the set."""
        return self.first_day + self.bits.bit_length() - 1

    def merge(self, other: "ActiveDays") -> "ActiveDays":
        """Every day of both."""
        first = min(self.first_day, other.first_day)
        return ActiveDays(first, (self._bits_from(first) | other._bits_from(first)) & _MASK)

    def _bits_from(self, first_day: int) -> int:
        shift = self.first_day - first_day
        return self.bits << shift if shift < KEPT_DAYS else 0

    def rows(self) -> "dict[Granularity, Row]":
        """In which cells this visitor counts."""
        return {granularity: self._row(granularity) for granularity in GRANULARITIES}

    def _row(self, granularity: Granularity) -> "Row":
        """Goes from period to period, not from day to day: whoever sends days without number gets no more for it."""
        cohort = period_of(granularity, self.first_day)
        active = []
        begin, length = 0, self.bits.bit_length()
        for period in range(MAX_PERIODS):
            if begin >= length:
                break
            end = first_day(granularity, cohort + period + 1) - self.first_day
            if self.bits >> begin & ((1 << (end - begin)) - 1):
                active.append(period)
            begin = end
        return Row(cohort, tuple(active))


@dataclass(frozen=True, slots=True)
class Row:
    """The cells that one visitor is in: of its cohort (the number of a period), and so many periods later."""

    cohort: int
    active: tuple[int, ...]

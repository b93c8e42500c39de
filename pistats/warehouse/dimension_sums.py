"""Sums by the values of one dimension: as numbers for what has to be added up, as a table for a rollup's file.

Text is in `values` once, and a number (`codes`) in every row: rows are grouped and sorted by numbers.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pistats.warehouse.measures import SUMS
from pistats.warehouse.periods import Granularity

SUMS_SCHEMA = pa.schema(
    [
        ("granularity", pa.string()),
        ("dimension", pa.string()),
        ("time", pa.int64()),
        ("value", pa.string()),
        *((name, pa.int64()) for name in SUMS),
    ]
)

DENSE = 4_000_000
"""Of so many numbers a table is kept instead of sorting: some 30 MB."""


@dataclass(frozen=True, slots=True)
class DimensionSums:
    """Rows of one granularity and dimension, each time and value at most once, by time and then value.

    `codes`: 0 is no value, else the place in `values`, which are sorted, counted from 1. `sums`: an array for
    each of `SUMS`.
    """

    granularity: Granularity
    dimension: str
    times: Any
    codes: Any
    values: pa.Array
    sums: tuple[Any, ...]

    def to_table(self) -> pa.Table:
        """As a file of sums has it: `SUMS_SCHEMA`."""
        rows = len(self.codes)
        value = self.values.take(pa.array(self.codes.astype(np.int64) - 1, mask=self.codes == 0))
        columns = [
            pa.repeat(self.granularity, rows),
            pa.repeat(self.dimension, rows),
            pa.array(self.times),
            value,
            *(pa.array(one, pa.int64()) for one in self.sums),
        ]
        return pa.Table.from_arrays(columns, schema=SUMS_SCHEMA)


Added = dict[tuple[str, str], DimensionSums]
"""The sums of a granularity and a dimension, in this order."""


def add_up_dimensions(counted: Iterable[Sequence[DimensionSums]]) -> Added:
    """Of several sums of the same, one."""
    found: dict[tuple[str, str], list[DimensionSums]] = defaultdict(list)
    for part in counted:
        for one in part:
            found[one.granularity, one.dimension].append(one)
    return {key: _add_up(found[key]) for key in sorted(found)}


def sums_table(added: Added) -> pa.Table:
    """As a file of sums has them: by granularity, dimension, time and value."""
    return pa.concat_tables([one.to_table() for one in added.values()] or [SUMS_SCHEMA.empty_table()])


def rows_of(added: DimensionSums, part: DimensionSums, codes: Any) -> Any:
    """For codes of a part the rows that they have in what was added up, of one time only: counted from 0."""
    return np.searchsorted(added.codes, _codes_in(added.values, part)[codes]).astype(np.int32)


def places(parts: Sequence[Any], space: int) -> tuple[Any, list[Any]]:
    """The different numbers of some arrays, sorted, and for each array its numbers' places among them.

    All are from 0 to `space` - 1.
    """
    if space <= DENSE:
        there = np.zeros(space, np.bool_)
        for part in parts:
            there[part] = True
        place = np.cumsum(there) - 1
        return np.flatnonzero(there), [place[part] for part in parts]
    found = np.sort(np.concatenate(parts))
    found = found[differs(found)]
    return found, [np.searchsorted(found, part) for part in parts]


def slim(sums: Any) -> Any:
    """The sums, all from 0, in half the memory if they fit."""
    return sums.astype(np.int32 if sums.max(initial=0) < 2**31 else np.int64)


def differs(values: Any) -> Any:
    """Whether each value differs from the one before; the first one does."""
    found = np.empty(len(values), np.bool_)
    found[:1] = True
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


def _add_up(parts: Sequence[DimensionSums]) -> DimensionSums:
    first = parts[0]
    if len(parts) == 1:
        return first
    values = pc.unique(pa.concat_arrays([one.values for one in parts]))
    values = values.take(pc.sort_indices(values))
    width = len(values) + 1
    times = np.array(sorted({time for one in parts for time in np.unique(one.times).tolist()}))
    keys = [np.searchsorted(times, one.times) * width + _codes_in(values, one)[one.codes] for one in parts]
    found, rows = places(keys, len(times) * width)
    numbers, codes = np.divmod(found, width)
    sums = (_added([one.sums[at] for one in parts], rows, len(found)) for at in range(len(SUMS)))
    return DimensionSums(first.granularity, first.dimension, times[numbers], codes, values, tuple(sums))


def _added(parts: Sequence[Any], rows: Sequence[Any], size: int) -> Any:
    """The sums of several parts; `rows`: where those of each part go, which are different places."""
    sums = np.zeros(size, np.int64)
    for part, row in zip(parts, rows, strict=True):
        sums[row] += part
    return sums


def _codes_in(values: pa.Array, one: DimensionSums) -> Any:
    """For each code of these sums the one in another list of values."""
    places = np.zeros(len(one.values) + 1, np.int32)
    places[1:] = pc.index_in(one.values, values).to_numpy() + 1
    return places

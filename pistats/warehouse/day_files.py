"""Puts the files of counted days together: exact sums and distinct visitors of any days, without reading an event.

Sums add up, but for visitors: who came on two days is one. A day's file of visitors says what each one's events had, as
numbers of the day's own. Here visitors and values get numbers that hold for all the days, and pairs of numbers are
counted. Nothing is estimated: ids are compared as text, as far as their hashes are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pistats.warehouse.dimension_sums import SUMS_SCHEMA, differs
from pistats.warehouse.engine import Connection, fetch
from pistats.warehouse.measures import DIMENSIONS, SUMS, bucket_parts
from pistats.warehouse.periods import Granularity
from pistats.warehouse.rollup_files import VISITORS_SCHEMA, Rollup, open_parquet
from pistats.warehouse.sessions import bucket_sql
from pistats.warehouse.storage import Storage

PART_ROWS = 2_000_000
"""Visitors of days that are put together at once: some 300 MB with all dimensions."""

DENSE_PAIRS = 64_000_000
"""Of so many possible pairs one byte each is kept instead of sorting those that there are."""

MEMORY = "1GB"
"""Of DuckDB for a week or month."""


def open_days(connection: Connection, storage: Storage, days: Sequence[Rollup]) -> None:
    """Make the views `day_sums` and `day_visitors` of the files of days."""
    connection.execute("SET preserve_insertion_order = true")
    open_parquet(connection, storage, [one.sums_path for one in days], "day_sums")
    paths = [one.visitors_path for one in days if one.visitors_path is not None]
    open_parquet(connection, storage, paths, "day_visitors")


def open_no_days(connection: Connection) -> None:
    """Make the same views, empty."""
    connection.register("day_sums", SUMS_SCHEMA.empty_table())
    connection.register("day_visitors", VISITORS_SCHEMA.empty_table())


def add_up_days(
    connection: Connection, dimensions: Sequence[str], sums: Sequence[str] = SUMS, seen: str | None = None
) -> pa.Table:
    """These sums of each value of these dimensions over all the days of the views: (dimension, value, sums …).

    Visitors are different ones. `seen`: a table of further visitors, (bucket, visitor_id), and `value` if a dimension
    is asked for; nothing but their number is added. The dimension "" is everybody.
    """
    more = None if seen is None else fetch(connection, f"FROM {seen}")
    added = {dimension: _Values.of(connection, dimension, sums, more) for dimension in dimensions}
    for buckets in bucket_parts(connection, PART_ROWS, "day_visitors") if "visitors" in sums else ():
        people = _People.of(connection, [one for one in dimensions if one], buckets, more)
        for dimension, values in added.items():
            values.sums["visitors"] += people.count(dimension, values)
    return pa.concat_tables([values.table(dimension) for dimension, values in added.items()])


def sums_of_days(storage: Storage, days: Sequence[Rollup], granularity: Granularity, period: int) -> pa.Table:
    """A file of sums for the week or month of these days; `period` is its number."""
    with duckdb.connect(config={"threads": 1, "memory_limit": MEMORY}) as connection:
        open_days(connection, storage, days)
        connection.register("added", add_up_days(connection, ("", *DIMENSIONS)))
        return fetch(
            connection,
            f"SELECT $granularity AS granularity, dimension, $period::BIGINT AS time, value, {', '.join(SUMS)}"
            " FROM added ORDER BY dimension, value NULLS FIRST",
            {"granularity": granularity, "period": period},
        ).cast(SUMS_SCHEMA)


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of one dimension, and their sums.

    `codes` has the text of each row of the days' sums, and then of each further visitor, where `more` begins. The rows
    of `days[n]` begin at `first[n]`.
    """

    texts: pa.Array
    codes: Any
    days: Any
    first: Any
    more: int
    sums: dict[str, Any]

    @classmethod
    def of(cls, connection: Connection, dimension: str, sums: Sequence[str], more: pa.Table | None) -> "_Values":
        others = [name for name in sums if name != "visitors"]
        # In the order of the files, which is what the numbers in the files of visitors mean.
        rows = fetch(
            connection,
            f"SELECT {', '.join(['time', 'value', *others])} FROM day_sums"
            " WHERE granularity = 'day' AND dimension = $dimension",
            {"dimension": dimension},
        )
        more_texts = pa.nulls(more.num_rows, pa.string()) if more and not dimension else more and more["value"]
        coded = _coded(rows["value"], more_texts)
        days, first = np.unique(rows["time"].to_numpy(), return_index=True)
        of_days = coded.indices.to_numpy()[: rows.num_rows]
        size = len(coded.dictionary)
        added = {name: _add_up(of_days, rows[name].to_numpy(), size) for name in others}
        zeros = {"visitors": np.zeros(size, np.int64)} if "visitors" in sums else {}
        return cls(coded.dictionary, coded.indices.to_numpy(), days, first, rows.num_rows, zeros | added)

    def table(self, dimension: str) -> pa.Table:
        """As `add_up_days` gives it."""
        return pa.table({"dimension": pa.repeat(dimension, len(self.texts)), "value": self.texts, **self.sums})


@dataclass(frozen=True, slots=True)
class _People:
    """The visitors of some buckets: a row for each day that one was there, then for each further one in `more`.

    `again`: whether a row may be of someone who has another; most people are there once, and need no comparing. `who`
    has a number for each such row. `people`: different ones in all. `more`: places of the further visitors.
    """

    rows: pa.Table
    more: Any
    again: Any
    who: Any
    people: int

    @classmethod
    def of(
        cls, connection: Connection, dimensions: Sequence[str], buckets: tuple[int, int], more: pa.Table | None
    ) -> "_People":
        columns = ", ".join(["day", "visitor_id", *dimensions])
        rows = fetch(connection, f"SELECT {columns} FROM day_visitors WHERE {bucket_sql(buckets)}")
        ids = rows.select(["visitor_id"])
        places = np.zeros(0, np.int64)
        if more is not None:
            bucket = more["bucket"].to_numpy()
            places = np.flatnonzero((bucket >= buckets[0]) & (bucket <= buckets[1]))
            ids = pa.concat_tables([ids, more.select(["visitor_id"]).take(pa.array(places))])
        again = _again(_hashes(connection, ids))
        coded = _coded(ids["visitor_id"].filter(pa.array(again)))
        once = len(again) - len(coded.indices)
        return cls(rows, places, again, coded.indices.to_numpy(), once + len(coded.dictionary))

    def count(self, dimension: str, values: _Values) -> Any:
        """How many different visitors each text has."""
        if not dimension:
            return self.people
        lists = self.rows[dimension].combine_chunks()
        sizes = np.diff(lists.offsets.to_numpy())
        first = values.first[np.searchsorted(values.days, self.rows["day"].to_numpy())]
        places = np.repeat(first, sizes) + lists.values.to_numpy()
        codes = values.codes[np.concatenate((places, values.more + self.more))]
        sizes = np.concatenate((sizes, np.ones(len(self.more), sizes.dtype)))
        again = np.repeat(self.again, sizes)
        texts = len(values.texts)
        once = np.bincount(codes[~again], minlength=texts)
        return once + _different(codes[again], np.repeat(self.who, sizes[self.again]), texts)


def _hashes(connection: Connection, ids: pa.Table) -> Any:
    connection.register("ids", ids)
    found = fetch(connection, "SELECT hash(visitor_id) AS hash FROM ids")["hash"].to_numpy()
    connection.unregister("ids")
    return found


def _again(hashes: Any) -> Any:
    """Which of the rows have the same number as another one."""
    order = np.argsort(hashes)
    alike = ~differs(hashes[order])
    alike[:-1] |= alike[1:]
    again = np.empty(len(hashes), np.bool_)
    again[order] = alike
    return again


def _coded(*texts: pa.ChunkedArray | pa.Array | None) -> pa.DictionaryArray:
    """The texts, one after the other, as numbers; what is none is one, too."""
    chunks: list[pa.Array] = []
    for one in texts:
        chunks += [] if one is None else one.chunks if isinstance(one, pa.ChunkedArray) else [one]
    whole = pa.concat_arrays([one.cast(pa.string()) for one in chunks]) if chunks else pa.array([], pa.string())
    return pc.dictionary_encode(whole, null_encoding="encode")


def _add_up(codes: Any, values: Any, size: int) -> Any:
    # These are floats, and exact: the milliseconds of 10,000 years are below 2 to the 53rd.
    return np.bincount(codes, values, size).astype(np.int64)


def _different(codes: Any, who: Any, texts: int) -> Any:
    """For each text how many different people it is paired with."""
    people = int(who.max(initial=-1)) + 1
    if texts * people <= DENSE_PAIRS:
        there = np.zeros((texts, people), np.bool_)
        there[codes, who] = True
        return np.count_nonzero(there, axis=1)
    pairs = codes * np.int64(people) + who
    pairs.sort()
    return np.bincount(pairs[differs(pairs)] // people, minlength=texts)

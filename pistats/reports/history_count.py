"""Counts what a history question asks for, out of its pieces: rows of rollups, days put together, ranges of events."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from pistats.reports.history_pieces import Merge, Pieces
from pistats.warehouse.day_files import add_up_days, open_days, open_no_days
from pistats.warehouse.engine import Connection
from pistats.warehouse.measures import SUMS, Grouping, Measure, bucket_parts, create_sums, measure
from pistats.warehouse.periods import SiteDays
from pistats.warehouse.rollup_files import open_parquet
from pistats.warehouse.sessions import MARGIN_MS
from pistats.warehouse.storage import Storage


@dataclass(frozen=True, slots=True)
class Wanted:
    """A table of sums to fill: by what, and from which pieces."""

    table: str
    grouping: Grouping
    pieces: Pieces


@dataclass(frozen=True, slots=True)
class _Part:
    """A merge of a table. `distinct`: its visitors are counted over all days; `seen`: the table of those in events."""

    wanted: Wanted
    merge: Merge
    distinct: bool
    seen: str | None

    @property
    def dimension(self) -> str:
        return _dimension(self.wanted.grouping)

    def same(self) -> Hashable:
        """Equal for parts of different tables that can be put together at once."""
        return tuple(day.sums_path for day in self.merge.days), self.merge.ranges, self.distinct


def count_pieces(connection: Connection, storage: Storage | None, asked: Measure, wanted: Sequence[Wanted]) -> None:
    """Fill the tables, which are made as `measure` makes them. Ranges that several tables want are read once."""
    create_sums(connection, [one.grouping for one in wanted], [one.table for one in wanted])
    parts = [_part(asked, one, merge, number) for one in wanted for number, merge in enumerate(one.pieces.merges)]
    _measure_ranges(connection, asked, wanted, parts)
    together: dict[Hashable, list[_Part]] = defaultdict(list)
    for part in parts:
        together[part.same()].append(part)
    for one in wanted:
        if one.pieces.rollups:
            assert storage is not None
            _add_rows(connection, storage, one)
    for same in together.values():
        _add_merged(connection, storage, asked, same)


def _part(asked: Measure, wanted: Wanted, merge: Merge, number: int) -> _Part:
    distinct = asked.of_visitors and not merge.alone
    seen = f"{wanted.table}_seen_{number}" if distinct and merge.ranges else None
    return _Part(wanted, merge, distinct, seen)


def _measure_ranges(connection: Connection, asked: Measure, wanted: Sequence[Wanted], parts: Sequence[_Part]) -> None:
    """Count every range from events, for all tables that want it."""
    ranges: dict[SiteDays, list[tuple[Wanted, str | None]]] = defaultdict(list)
    for one in wanted:
        for days in one.pieces.ranges:
            ranges[days].append((one, None))
    for part in parts:
        for days in part.merge.ranges:
            ranges[days].append((part.wanted, part.seen))
    for days, targets in ranges.items():
        first, last = days.from_ms - MARGIN_MS, days.to_ms
        if days.end_ms is None:  # else sessions are as they were at that moment
            last += MARGIN_MS
        source = f"(SELECT * FROM events WHERE event_time >= {first} AND event_time < {last})"
        seen = [people for _, people in targets]
        groupings = tuple(one.grouping for one, _ in targets)
        of_range = replace(asked, days=days, groupings=groupings, source=source, keep_visitors=any(seen))
        buckets = bucket_parts(connection, source=source)
        measure(connection, of_range, buckets, [one.table for one, _ in targets], seen)


def _add_rows(connection: Connection, storage: Storage, wanted: Wanted) -> None:
    """The rows of rollups as they are."""
    open_parquet(connection, storage, [one.sums_path for one in wanted.pieces.rollups], "rollup_sums")
    connection.execute(
        f"INSERT INTO {wanted.table} BY NAME SELECT {_keys(wanted.grouping, 'time')}{', '.join(SUMS)} FROM rollup_sums"
        " WHERE granularity = $granularity AND dimension = $dimension",
        {"granularity": wanted.pieces.granularity, "dimension": _dimension(wanted.grouping)},
    )


def _add_merged(connection: Connection, storage: Storage | None, asked: Measure, parts: Sequence[_Part]) -> None:
    """The rollups of some days together, with the visitors of the ranges, for all who want them."""
    days, distinct = parts[0].merge.days, parts[0].distinct
    if days:
        assert storage is not None
        open_days(connection, storage, days)
    elif distinct:
        open_no_days(connection)
    else:
        return
    sums = [name for name in SUMS if asked.wants(name)]
    if distinct or len(days) > 1:
        # Of the part with a dimension, if there is one: who was seen with a value was seen.
        seen = max(parts, key=lambda part: part.dimension).seen
        connection.register("added", add_up_days(connection, sorted({part.dimension for part in parts}), sums, seen))
        source = "added WHERE"
    else:
        source = "day_sums WHERE granularity = 'day' AND"
    for part in parts:
        grouping = part.wanted.grouping
        connection.execute(
            f"INSERT INTO {part.wanted.table} BY NAME SELECT {_keys(grouping, part.merge.period)}{', '.join(sums)}"
            f" FROM {source} dimension = $dimension",
            {"dimension": part.dimension},
        )


def _dimension(grouping: Grouping) -> str:
    """The one that is not time; none: ""."""
    return next((name for name in grouping.by if name != "time"), "")


def _keys(grouping: Grouping, time: str | int | None) -> str:
    """The keys as columns, each with a comma behind it."""
    return "".join(f"{time if name == 'time' else 'value'} AS k{at}, " for at, name in enumerate(grouping.by))

"""Compaction: few files of a good size instead of many small ones, and one set of bucket ranges for a day that is over.

New files are written first, then one transaction lists them in place of the old ones. Readers see the old files or the
new, never both and never neither; the old ones are deleted after a grace period. Compacting again changes nothing.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import combinations, pairwise

import pyarrow as pa
from pymongo.asynchronous.client_session import AsyncClientSession

from pistats.clock import Clock, now_ms
from pistats.errors import CorruptionError
from pistats.mongo.indexes import Database
from pistats.mongo.sessions import transaction
from pistats.warehouse.manifest import Manifest, SupersededError, WarehouseFile
from pistats.warehouse.parquet import read_rows, sort_rows
from pistats.warehouse.storage import Storage
from pistats.warehouse.sweep import check_age
from pistats.warehouse.tombstones import Tombstone, load_tombstones, without_erased
from pistats.warehouse.writer import FileWriter, date_of

log = logging.getLogger(__name__)

CLOSED_DAYS = 2
"""A date is over so many days after it began: by then the late events of trackers, which keep a day's queue, are in."""

GROUP_ROWS = 250_000
"""Rows that are merged in memory at a time, some 2 KB each with all copies."""

Buckets = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sizes:
    """In bytes. Files below `small` are merged when there are two, files above `large` are split into some of `aim`."""

    small: int = 32_000_000
    aim: int = 160_000_000
    large: int = 256_000_000


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Files of one site, date and origin that become one file for each of these bucket ranges."""

    old: tuple[WarehouseFile, ...]
    ranges: tuple[Buckets, ...]


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a run has done. `superseded`: rewrites given up because another run changed their files."""

    rewrites: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_after: int = 0
    superseded: int = 0

    def plus(self, rewrite: Rewrite, new: Sequence[WarehouseFile]) -> "Compacted":
        return replace(
            self,
            rewrites=self.rewrites + 1,
            files_before=self.files_before + len(rewrite.old),
            files_after=self.files_after + len(new),
            bytes_after=self.bytes_after + sum(file.bytes for file in new),
        )


def plan(files: Sequence[WarehouseFile], today: str, sizes: Sizes) -> list[Rewrite]:
    """What has to be rewritten, the oldest dates first; nothing when all is as it should be. `today`: UTC date."""
    groups = defaultdict(list)
    for file in files:
        groups[file.date, file.site, file.origin].append(file)
    closed_before = (date.fromisoformat(today) - timedelta(days=CLOSED_DAYS)).isoformat()
    return [rewrite for key in sorted(groups) for rewrite in _plan_date(groups[key], key[0] < closed_before, sizes)]


def _plan_date(files: list[WarehouseFile], closed: bool, sizes: Sizes) -> list[Rewrite]:
    too_large = [file for file in files if file.bytes > sizes.large and file.buckets[0] < file.buckets[1]]
    if too_large:
        return [Rewrite((file,), split(file.buckets, max(2, _pieces(file.bytes, sizes)))) for file in too_large]
    large = [file for file in files if file.bytes >= sizes.small]
    if closed and any(_overlap(a.buckets, b.buckets) for a, b in combinations(large, 2)):
        return [_merge(files, sizes)]
    small = [file for file in files if file.bytes < sizes.small]
    mergeable = [
        file for file in small if any(_overlap(file.buckets, other.buckets) for other in small if other is not file)
    ]
    return [_merge(mergeable, sizes)] if mergeable else []


def _merge(files: list[WarehouseFile], sizes: Sizes) -> Rewrite:
    span = (min(file.buckets[0] for file in files), max(file.buckets[1] for file in files))
    return Rewrite(tuple(files), split(span, _pieces(sum(file.bytes for file in files), sizes)))


def _pieces(total: int, sizes: Sizes) -> int:
    """How many files of about the aimed size, a power of two so that ranges of different days fit together."""
    pieces = 1
    while total / pieces > sizes.aim:
        pieces *= 2
    return pieces


def split(span: Buckets, pieces: int) -> tuple[Buckets, ...]:
    """The buckets `lo … hi` in at most so many contiguous ranges of like size."""
    lo, hi = span
    count = min(pieces, hi - lo + 1)
    edges = [lo + (hi - lo + 1) * number // count for number in range(count + 1)]
    return tuple((start, end - 1) for start, end in pairwise(edges))


def _overlap(a: Buckets, b: Buckets) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]


class Compaction:
    """Compacts one group's files. Several at once, and any end, leave the manifest right: at worst work is repeated."""

    def __init__(
        self,
        group: Database,
        system: Database,
        storage: Storage,
        writer: FileWriter,
        *,
        sizes: Sizes | None = None,
        clock: Clock = now_ms,
    ) -> None:
        self._group = group
        self._system = system
        self._storage = storage
        self._writer = writer
        self._sizes = sizes or Sizes()
        self._clock = clock
        self._manifest = Manifest(group)

    async def run(
        self,
        wanted: Callable[[WarehouseFile], bool] = lambda _: True,
        on_rewrite: Callable[[Rewrite], object] = lambda _: None,
    ) -> Compacted:
        """Rewrite until nothing is left to do, or only what another run has taken up. Only `wanted` files."""
        total = Compacted()
        while rewrites := await self.plan(wanted):
            done = 0
            for rewrite in rewrites:
                new = await self.rewrite(rewrite)
                if new is None:
                    total = replace(total, superseded=total.superseded + 1)
                    continue
                done += 1
                total = total.plus(rewrite, new)
                on_rewrite(rewrite)
            if not done:
                break
        return total

    async def plan(self, wanted: Callable[[WarehouseFile], bool] = lambda _: True) -> list[Rewrite]:
        """What there is to do now."""
        files = [file for file in await self._manifest.files() if wanted(file)]
        return plan(files, date_of(self._clock()), self._sizes)

    async def rewrite(self, rewrite: Rewrite) -> list[WarehouseFile] | None:
        """Put new files in the place of the old ones; None when another run was faster, and nothing was changed."""
        began = self._clock()
        tombstones = await load_tombstones(self._system, {file.site for file in rewrite.old})
        new: list[WarehouseFile] = []
        try:
            new = await asyncio.to_thread(self._write, rewrite, tombstones)
            await transaction(self._group, lambda session: self._swap(rewrite.old, new, began, session))
        except (SupersededError, FileNotFoundError) as error:
            await self._check_listed(rewrite.old, error)
            log.info("%s: %s", self._group.name, error)
            self._storage.delete(file.path for file in new)
            return None
        return new

    async def _swap(
        self, old: Sequence[WarehouseFile], new: Sequence[WarehouseFile], began: int, session: AsyncClientSession
    ) -> None:
        await self._manifest.swap(old, new, self._clock(), session)
        check_age(began, self._clock())

    async def _check_listed(self, files: Sequence[WarehouseFile], error: Exception) -> None:
        """A file that was replaced may be gone. Raises CorruptionError for one that is listed and isn't there."""
        if isinstance(error, FileNotFoundError) and await self._manifest.lists(files):
            raise CorruptionError(
                f"A listed file is not in the warehouse: {error}. Nothing was changed: restore it from a backup."
            ) from error

    def _write(self, rewrite: Rewrite, tombstones: Sequence[Tombstone]) -> list[WarehouseFile]:
        merging = Merging(self._storage, rewrite.old, tombstones)
        first = rewrite.old[0]
        written = [
            self._writer.write(first.site, first.date, span, merging.rows(span), first.origin)
            for span in rewrite.ranges
        ]
        merging.check()
        return [file for file in written if file is not None]


class Merging:
    """The rows of several files of one site and date as if they were one file, without the erased ones."""

    def __init__(self, storage: Storage, files: Sequence[WarehouseFile], tombstones: Sequence[Tombstone]) -> None:
        self._storage = storage
        self._files = files
        self._tombstones = tombstones
        self._rows = self._erased = 0

    def rows(self, span: Buckets) -> Iterator[pa.Table]:
        """The rows of these buckets, sorted, in parts of whole buckets that fit in memory."""
        inside = sum(file.rows for file in self._files if _overlap(file.buckets, span))
        for part in split(span, 1 + inside // GROUP_ROWS):
            tables = [read_rows(self._storage, file.path, part) for file in self._files if _overlap(file.buckets, part)]
            found = pa.concat_tables(tables).combine_chunks()
            kept = without_erased(found, self._tombstones)
            self._rows += found.num_rows
            self._erased += found.num_rows - kept.num_rows
            yield sort_rows(kept)

    def check(self) -> None:
        """Raises CorruptionError unless every row of every file has passed."""
        listed = sum(file.rows for file in self._files)
        if self._rows != listed:
            paths = ", ".join(file.path for file in self._files)
            raise CorruptionError(
                f"{listed} rows are listed and {self._rows} were found in {paths}. Nothing was changed: compare the "
                "files with the manifest, and restore what is damaged from a backup."
            )

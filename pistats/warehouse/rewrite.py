"""New files in the place of old ones: the same rows, sorted anew, without those of erased visitors.

New files are written first, then one transaction lists them in place of the old ones. Readers see the old files or the
new, never both and never neither; the old ones are deleted after a grace period.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa
from pymongo.asynchronous.client_session import AsyncClientSession

from pistats.clock import Clock, now_ms
from pistats.errors import CorruptionError
from pistats.mongo.indexes import Database
from pistats.mongo.sessions import transaction
from pistats.warehouse.ages import check_age
from pistats.warehouse.manifest import Manifest, SupersededError, WarehouseFile
from pistats.warehouse.parquet import FileCursor, sort_rows
from pistats.warehouse.storage import Storage
from pistats.warehouse.tombstones import Tombstone, load_tombstones, without_erased
from pistats.warehouse.writer import FileWriter

log = logging.getLogger(__name__)

GROUP_ROWS = 125_000
"""Rows that are merged in memory at a time, some 4 KB each with all copies (measured)."""

Buckets = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Files of one site, date and origin that become one file for each of these bucket ranges."""

    old: tuple[WarehouseFile, ...]
    ranges: tuple[Buckets, ...]


class Rewriter:
    """Rewrites one group's files. Several at once, and any end, leave the manifest right: at worst work is repeated."""

    def __init__(
        self, group: Database, system: Database, storage: Storage, writer: FileWriter, clock: Clock = now_ms
    ) -> None:
        self._group = group
        self._system = system
        self._storage = storage
        self._writer = writer
        self._clock = clock
        self._manifest = Manifest(group)

    async def rewrite(self, rewrite: Rewrite) -> list[WarehouseFile] | None:
        """Put new files in the place of the old ones; None when another run was faster, and nothing was changed."""
        began = self._clock()
        tombstones = await load_tombstones(self._system, {file.site for file in rewrite.old})
        new: list[WarehouseFile] = []
        try:
            new, erased = await asyncio.to_thread(self._write, rewrite, tombstones)
            dirty = {(file.site, file.date) for file in rewrite.old} if erased else set()
            await transaction(self._group, lambda session: self._swap(rewrite.old, new, dirty, began, session))
        except (SupersededError, FileNotFoundError) as error:
            await self._check_listed(rewrite.old, error)
            log.info("%s: %s", self._group.name, error)
            self._storage.delete(await self._manifest.unlisted(new))
            return None
        return new

    async def _swap(
        self,
        old: Sequence[WarehouseFile],
        new: Sequence[WarehouseFile],
        dirty: set[tuple[str, str]],
        began: int,
        session: AsyncClientSession,
    ) -> None:
        await self._manifest.swap(old, new, self._clock(), session)
        await self._manifest.mark_dirty(dirty, session)
        check_age(began, self._clock())

    async def _check_listed(self, files: Sequence[WarehouseFile], error: Exception) -> None:
        """A file that was replaced may be gone. Raises CorruptionError for one that is listed and isn't there."""
        if isinstance(error, FileNotFoundError) and await self._manifest.lists(files):
            raise CorruptionError(
                f"A listed file is not in the warehouse: {error}. Nothing was changed: restore it from a backup."
            ) from error

    def _write(self, rewrite: Rewrite, tombstones: Sequence[Tombstone]) -> tuple[list[WarehouseFile], int]:
        """The new files, and how many rows are not in them because they are erased."""
        merging = Merging(self._storage, rewrite.old, tombstones)
        first = rewrite.old[0]
        written = [
            self._writer.write(first.site, first.date, span, merging.rows(span), first.origin)
            for span in rewrite.ranges
        ]
        merging.check()
        return [file for file in written if file is not None], merging.erased


class Merging:
    """The rows of several files of one site and date as if they were one file, without the erased ones.

    Every file is read once, from its beginning to its end. Ask for ranges of buckets in ascending order.
    """

    def __init__(self, storage: Storage, files: Sequence[WarehouseFile], tombstones: Sequence[Tombstone]) -> None:
        self._files = files
        self._cursors = [FileCursor(storage, file.path) for file in files]
        self._tombstones = tombstones
        self._rows = self.erased = 0

    def rows(self, span: Buckets) -> Iterator[pa.Table]:
        """The rows of these buckets, sorted, in parts of whole buckets that fit in memory."""
        for _, last in split(span, 1 + round(self._expected(span)) // GROUP_ROWS):
            found = pa.concat_tables([cursor.up_to(last) for cursor in self._cursors]).combine_chunks()
            kept = without_erased(found, self._tombstones)
            self._rows += found.num_rows
            self.erased += found.num_rows - kept.num_rows
            yield sort_rows(kept)

    def _expected(self, span: Buckets) -> float:
        """About how many rows there are in these buckets."""
        rows = 0.0
        for file in self._files:
            lo, hi = file.buckets
            shared = min(hi, span[1]) - max(lo, span[0]) + 1
            rows += file.rows * max(0, shared) / (hi - lo + 1)
        return rows

    def check(self) -> None:
        """Raises CorruptionError unless every row of every file has passed."""
        listed = sum(file.rows for file in self._files)
        if self._rows != listed:
            paths = ", ".join(file.path for file in self._files)
            raise CorruptionError(
                f"{listed} rows are listed and {self._rows} were found in {paths}. Nothing was changed: compare the "
                "files with the manifest, and restore what is damaged from a backup."
            )


def split(span: Buckets, pieces: int) -> tuple[Buckets, ...]:
    """The buckets `lo … hi` in at most so many contiguous ranges of like size."""
    lo, hi = span
    count = min(pieces, hi - lo + 1)
    edges = [lo + (hi - lo + 1) * number // count for number in range(count + 1)]
    return tuple((start, end - 1) for start, end in pairwise(edges))


def overlap(a: Buckets, b: Buckets) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]

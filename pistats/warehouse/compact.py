"""Compaction: few files of a good size instead of many small ones, and one set of bucket ranges for a day that is over.

New files are written first, then one transaction lists them in place of the old ones. Readers see the old files or the
new, never both and never neither; the old ones are deleted after a grace period. Compacting again changes nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import combinations

from pistats.clock import Clock, now_ms
from pistats.mongo.indexes import Database
from pistats.warehouse.manifest import Manifest, WarehouseFile
from pistats.warehouse.rewrite import Rewrite, Rewriter, overlap, split
from pistats.warehouse.storage import Storage
from pistats.warehouse.writer import FileWriter, date_of

CLOSED_DAYS = 2
"""A date is over so many days after it began: by then the late events of trackers, which keep a day's queue, are in."""


MOST_FILES = 24
"""Merged at once: each is open, with some 10 MB of it in memory. More become several files, to be merged then."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """In bytes. Files below `small` are merged when there are two, files above `large` are split into some of `aim`."""

    small: int = 32_000_000
    aim: int = 160_000_000
    large: int = 256_000_000


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
    if closed and any(overlap(a.buckets, b.buckets) for a, b in combinations(large, 2)):
        return [_merge(files, sizes)]
    small = [file for file in files if file.bytes < sizes.small]
    mergeable = [
        file for file in small if any(overlap(file.buckets, other.buckets) for other in small if other is not file)
    ]
    parts = [mergeable[start : start + MOST_FILES] for start in range(0, len(mergeable), MOST_FILES)]
    return [_merge(part, sizes) for part in parts if len(part) > 1]


def _merge(files: list[WarehouseFile], sizes: Sizes) -> Rewrite:
    span = (min(file.buckets[0] for file in files), max(file.buckets[1] for file in files))
    return Rewrite(tuple(files), split(span, _pieces(sum(file.bytes for file in files), sizes)))


def _pieces(total: int, sizes: Sizes) -> int:
    """How many files of about the aimed size, a power of two so that ranges of different days fit together."""
    pieces = 1
    while total / pieces > sizes.aim:
        pieces *= 2
    return pieces


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
        self._rewriter = Rewriter(group, system, storage, writer, clock)
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
                new = await self._rewriter.rewrite(rewrite)
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

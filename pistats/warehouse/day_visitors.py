"""Takes visitors, or what they have seen, out of the files of counted days. What was counted stays as it is.

The sums of a day and its digest stay, so weeks and months hold too: it may be that nothing is there any more to count
them from again.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pistats.identity import bucket_of
from pistats.warehouse.rollup_files import VISITORS_SCHEMA, Rollup, RollupStore, new_base
from pistats.warehouse.storage import Storage

Change = Callable[[pa.Table], pa.Table]


class DayVisitors:
    """Rewrites one group's files of visitors. May be repeated, by several at once, and end anywhere."""

    def __init__(self, store: RollupStore, storage: Storage, group_name: str, run_id: str) -> None:
        self._store = store
        self._storage = storage
        self._group_name = group_name
        self._run_id = run_id

    async def forget_seen(self, rollup: Rollup) -> bool:
        """Leave of the visitors only that they were there. False: another run has replaced the file meanwhile."""
        names = VISITORS_SCHEMA.names[:3]
        return await self._rewrite(replace(rollup, format=1), rollup, lambda rows: rows.select(names))

    async def forget(self, rollup: Rollup, visitor_ids: Collection[str]) -> bool:
        """Leave these visitors out. False: another run has replaced the file meanwhile. Raises FileNotFoundError."""
        others = ~ds.field("visitor_id").isin(list(visitor_ids))
        return await self._rewrite(rollup, rollup, lambda rows: rows.filter(others))

    def holds(self, rollup: Rollup, visitor_ids: Collection[str]) -> bool:
        """Whether the day's file names one of these visitors. Raises FileNotFoundError."""
        if rollup.visitors_path is None or not visitor_ids:
            return False
        buckets = {bucket_of(rollup.site, visitor_id) for visitor_id in visitor_ids}
        wanted = ds.field("bucket").isin(list(buckets)) & ds.field("visitor_id").isin(list(visitor_ids))
        with self._storage.open(rollup.visitors_path) as file:
            return bool(pq.read_table(file, columns=["visitor_id"], filters=wanted).num_rows)

    async def _rewrite(self, changed: Rollup, old: Rollup, change: Change) -> bool:
        assert old.visitors_path is not None
        base = new_base(self._group_name, old.site, "day", old.start, self._run_id)
        path = f"{base}-visitors.parquet"
        await asyncio.to_thread(self._write, old.visitors_path, path, change)
        if await self._store.swap_visitors(old, replace(changed, visitors_path=path)):
            return True
        self._storage.delete([path])
        return False

    def _write(self, old: str, new: str, change: Change) -> None:
        """Row group by row group: a day of millions needs no more memory than one of thousands."""
        with self._storage.open(old) as stream, self._storage.create(new) as out:
            file = pq.ParquetFile(stream)
            with pq.ParquetWriter(out, change(file.schema_arrow.empty_table()).schema, compression="zstd") as writer:
                for group in range(file.num_row_groups):
                    rows = change(file.read_row_group(group))
                    if rows.num_rows:
                        writer.write_table(rows)

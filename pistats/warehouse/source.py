"""Every event of a site, once: the Parquet files of the manifest, and the chunks that are not archived yet.

Both lists are read in one snapshot of MongoDB. The archive moves events from one to the other in one transaction, so no
event is missing and none is there twice, whatever it does meanwhile.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure

from pistats.enrich.event import FIELDS
from pistats.errors import OverloadedError, UnavailableError
from pistats.mongo.indexes import Database
from pistats.mongo.sessions import snapshot
from pistats.warehouse.chunk import EVENT_SCHEMA
from pistats.warehouse.manifest import Manifest
from pistats.warehouse.outbox import ChunkCache, ChunkRef, Outbox
from pistats.warehouse.parquet import EVENT_ID_SQL, FILE_SCHEMA
from pistats.warehouse.storage import Storage
from pistats.warehouse.tombstones import Tombstone, load_open_tombstones

COLUMNS = (*FIELDS, "bucket")
"""What a reader gets: the fields of an enriched event, and the visitor's bucket."""

WAITING_SCHEMA = EVENT_SCHEMA.append(pa.field("bucket", pa.uint8()))

SNAPSHOT_GONE = frozenset({239, 246})
"""SnapshotTooOld, SnapshotUnavailable: MongoDB cannot read at that moment any more, or not yet. Another will do."""

GLOB = frozenset("*?[")
"""What makes DuckDB read a path as a pattern."""

ATTEMPTS = 5
RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class EventSet:
    """The events of one site with `from_ms <= event_time < to_ms`, as they were at one moment.

    `files` are locations of `storage`; they stay there for the grace period after a newer file has replaced them.
    `waiting` are the site's chunks, whole: `register` leaves out what is not in the range.
    `complete_through` (Unix ms): everything that the stream had stored by then is in. None: nothing was consumed yet.
    """

    site: str
    files: tuple[str, ...]
    waiting: pa.Table | None
    from_ms: int
    to_ms: int
    complete_through: int | None
    erased: tuple[Tombstone, ...]
    storage: Storage

    def register(self, connection: duckdb.DuckDBPyConnection, name: str = "events") -> None:
        """Make the view `name` of `COLUMNS` in this connection. No event of the set is left out, none is there twice.

        Also makes what the view reads, under names that begin with `name`. Replaces what an earlier call made.
        """
        parts = []
        if self.files:
            columns = ", ".join(EVENT_ID_SQL + " AS event_id" if one == "event_id" else f'"{one}"' for one in COLUMNS)
            parts.append(self._part(columns, self._files_relation(connection, name), name))
        if self.waiting is not None:
            connection.register(f"{name}_waiting", self.waiting)
            parts.append(self._part(_quoted(COLUMNS), f"{name}_waiting", name))
        if not parts:
            connection.register(f"{name}_waiting", WAITING_SCHEMA.empty_table())
            parts.append(self._part(_quoted(COLUMNS), f"{name}_waiting", name))
        if self.erased:
            connection.register(f"{name}_erased", self._erased_table())
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {' UNION ALL '.join(parts)}")

    def _part(self, columns: str, relation: str, name: str) -> str:
        covered = (
            f"NOT EXISTS (FROM {name}_erased AS x WHERE x.visitor_id = e.visitor_id"
            " AND e.received_time <= x.erased_time)"
        )
        conditions = [f"e.event_time >= {int(self.from_ms)}", f"e.event_time < {int(self.to_ms)}"]
        if self.erased:
            conditions.append(covered)
        return f"SELECT {columns} FROM {relation} AS e WHERE {' AND '.join(conditions)}"  # noqa: S608

    def _files_relation(self, connection: duckdb.DuckDBPyConnection, name: str) -> str:
        if self.storage.remote or any(GLOB.intersection(file) for file in self.files):
            # DuckDB's own reader of S3 is an extension that may be missing, and its reader of files takes patterns.
            files = ds.dataset(list(self.files), FILE_SCHEMA, "parquet", filesystem=self.storage.filesystem)
            connection.register(f"{name}_files", files)
            return f"{name}_files"
        literals = ", ".join("'" + file.replace("'", "''") + "'" for file in self.files)
        return f"read_parquet([{literals}], hive_partitioning = false)"

    def _erased_table(self) -> pa.Table:
        return pa.table(
            {
                "visitor_id": pa.array([one.visitor_id for one in self.erased], pa.string()),
                "erased_time": pa.array([one.erased_time for one in self.erased], pa.int64()),
            }
        )


class EventSource:
    """Finds the events of a site and a range of time. One per process and group: it keeps decoded chunks in memory."""

    def __init__(
        self,
        group: Database,
        system: Database,
        root: str,
        *,
        cache_bytes: int = 128_000_000,
        max_waiting_events: int = 1_000_000,
    ) -> None:
        """`root`: of the warehouse. `max_waiting_events`: most events of chunks that one set may hold in memory."""
        self.storage = Storage(root)
        self._group = group
        self._system = system
        self._manifest = Manifest(group)
        self._outbox = Outbox(group)
        self._cache = ChunkCache(cache_bytes)
        self._max_waiting_events = max_waiting_events
        self._decoding = asyncio.Lock()

    async def events(self, site: str, from_ms: int, to_ms: int) -> EventSet:
        """The site's events with an event time in [from, to), as of now.

        Raises OverloadedError: too much waits for the archive. UnavailableError: MongoDB gives no snapshot now.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._decoding:
                    return await self._events(site, from_ms, to_ms)
            except OperationFailure as error:
                if error.code not in SNAPSHOT_GONE:
                    raise
                if attempt == ATTEMPTS:
                    raise UnavailableError(f"{self._group.name}: MongoDB gives no snapshot: {error}") from error
            await asyncio.sleep(RETRY_S)
        raise AssertionError("unreachable")

    async def _events(self, site: str, from_ms: int, to_ms: int) -> EventSet:
        async with snapshot(self._group) as session:
            refs = await self._outbox.refs(site, from_ms=from_ms, to_ms=to_ms, session=session)
            files = await self._manifest.files(site, from_ms=from_ms, to_ms=to_ms, session=session)
            erased = await load_open_tombstones(self._system, site, session=session)
            complete_through = await self._complete_through(session)
            self._check_waiting(refs)
            self._cache.erase(erased)
            # Within the snapshot: the archive may have removed these chunks by now.
            missing = self._outbox.read(self._cache.missing(refs), session=session)
            await self._cache.add([chunk async for chunk in missing])
        waiting = [batch for ref in refs if (batch := self._cache.get(ref, site)) is not None]
        self._cache.trim()
        return EventSet(
            site=site,
            files=tuple(self.storage.location(file.path) for file in files),
            waiting=pa.Table.from_batches(waiting) if waiting else None,
            from_ms=from_ms,
            to_ms=to_ms,
            complete_through=complete_through,
            erased=tuple(erased),
            storage=self.storage,
        )

    def _check_waiting(self, refs: Sequence[ChunkRef]) -> None:
        events = sum(ref.events for ref in refs)
        if events > self._max_waiting_events:
            raise OverloadedError(
                f"{self._group.name}: {events:,} events wait for the archive, more than "
                f"{self._max_waiting_events:,} that a query may hold. Run `pistats job archive`.",
                retry_after_s=60,
            )

    async def _complete_through(self, session: AsyncClientSession) -> int | None:
        """The least advanced partition's time: of its last record, or of the last look when nothing was behind it."""
        times = [_consumed_through(one) async for one in self._group["partitions"].find(session=session)]
        known = [time for time in times if time is not None]
        return min(known) if known and len(known) == len(times) else None


def _consumed_through(partition: dict[str, Any]) -> int | None:
    checked_at: datetime | None = partition.get("checked_at")
    if partition.get("caught_up") and checked_at is not None:
        return int(checked_at.timestamp() * 1000)
    append_time: int | None = partition.get("append_time")
    return append_time


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)

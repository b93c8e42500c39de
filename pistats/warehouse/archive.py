"""The archive: chunks of the outbox become Parquet files.

Files are written first, under names that nobody knows. Then one transaction lists them, marks their dates for the
rollups, counts the events as archived and removes the chunks. A run that dies before it leaves garbage, which `sweep`
removes; after it, the work is done. Of two runs with the same chunk one finds it gone, and writes nothing.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
from pymongo import DeleteOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from pistats.clock import Clock, now_ms
from pistats.mongo.indexes import Database
from pistats.mongo.sessions import snapshot, transaction
from pistats.warehouse.ages import check_age
from pistats.warehouse.chunk import decode_chunk
from pistats.warehouse.expire import oldest_dates, without_expired
from pistats.warehouse.manifest import Manifest, SupersededError, WarehouseFile
from pistats.warehouse.outbox import ChunkRef, Outbox
from pistats.warehouse.storage import Storage
from pistats.warehouse.tombstones import Tombstone, load_tombstones, without_erased
from pistats.warehouse.writer import FileWriter

log = logging.getLogger(__name__)

MAX_UNIT_CHUNKS = 2_000
"""Of one transaction: it removes every chunk by its id, and MongoDB ends a transaction after a minute."""

PLANNED_CHUNKS = 100_000
"""Looked up at a time, without their data: some 50 MB."""

PARALLEL_UNITS = 2
"""Written at the same time, in threads: the two cores that there are at least. A unit alone keeps one busy."""

MAX_UNIT_BYTES = 400_000_000
"""Decoded. Texts of 32 KB that compress well would else fill the memory: a unit ends early, the rest is another's."""


@dataclass(frozen=True, slots=True)
class Written:
    """Files of one unit, not listed yet, and the chunks whose events are in them."""

    files: tuple[WarehouseFile, ...]
    chunks: tuple[ChunkRef, ...]
    began_time: int  # Unix ms, before the first of them was written


@dataclass(frozen=True, slots=True)
class Archived:
    """What a run has moved."""

    events: int = 0
    chunks: int = 0
    files: int = 0
    bytes: int = 0

    def plus(self, written: Written) -> "Archived":
        return Archived(
            events=self.events + sum(chunk.events for chunk in written.chunks),
            chunks=self.chunks + len(written.chunks),
            files=self.files + len(written.files),
            bytes=self.bytes + sum(file.bytes for file in written.files),
        )


class Archive:
    """Archives one group's outbox. `plan`, `write` and `publish` are the steps of `run`, for whoever spreads them."""

    def __init__(
        self,
        group: Database,
        system: Database,
        storage: Storage,
        writer: FileWriter,
        *,
        unit_events: int,
        clock: Clock = now_ms,
    ) -> None:
        """`unit_events`: moved by one transaction. Two units are in memory, some 2 KB an event with all copies."""
        self._group = group
        self._system = system
        self._storage = storage
        self._writer = writer
        self._unit_events = unit_events
        self._clock = clock
        self._outbox = Outbox(group)
        self._manifest = Manifest(group)

    async def run(self, on_unit: Callable[[Written], object] = lambda _: None) -> Archived:
        """Move all that waits when this begins. Whatever ends it, what was published is done and nothing is lost."""
        total = Archived()
        before = self._now()
        while units := await self.plan(before):
            async for written in self._write_all(units):
                if await self.publish(written):
                    total = total.plus(written)
                    on_unit(written)
        return total

    async def plan(self, before: datetime) -> list[list[ChunkRef]]:
        """The chunks that have waited longest, in units; none that were committed after `before`.

        Not all of a long backlog: ask again when these are published.
        """
        return list(units_of(await self._outbox.oldest(PLANNED_CHUNKS, before=before), self._unit_events))

    async def _write_all(self, units: Sequence[Sequence[ChunkRef]]) -> AsyncIterator[Written]:
        """Each unit written, in order; meanwhile the next ones are under way."""
        tasks: deque[asyncio.Task[Written]] = deque()
        try:
            for unit in units:
                tasks.append(asyncio.create_task(self.write(unit)))
                if len(tasks) == PARALLEL_UNITS:
                    yield await tasks.popleft()
            while tasks:
                yield await tasks.popleft()
        finally:
            for task in tasks:
                task.cancel()

    async def write(self, chunks: Sequence[ChunkRef]) -> Written:
        """Write files of these chunks, or of the first of them, if their texts are very long. May be repeated.

        Chunks that are gone or rewritten since they were listed are left out.
        """
        began = self._clock()
        read, tables, read_bytes = [], [], 0
        async with snapshot(self._group) as session:
            # In one snapshot: who erases has stored the tombstone before he looks for the visitor in chunks and files.
            tombstones = await load_tombstones(self._system, session=session)
            oldest = await oldest_dates(self._system, began, session=session)
            async for chunk, data in self._outbox.read(chunks, session=session):
                events = await asyncio.to_thread(decode_chunk, data, chunk.schema)
                read.append(chunk)
                tables.append(events)
                read_bytes += events.nbytes
                if read_bytes > MAX_UNIT_BYTES:
                    break
        files = await asyncio.to_thread(self._write_files, tables, tombstones, oldest) if tables else []
        return Written(tuple(files), tuple(read), began)

    def _write_files(
        self, batches: list[pa.RecordBatch], tombstones: Sequence[Tombstone], oldest: Mapping[str, str]
    ) -> list[WarehouseFile]:
        events = pa.Table.from_batches(batches)
        return self._writer.write_events(without_expired(without_erased(events, tombstones), oldest))

    async def publish(self, written: Written) -> bool:
        """List the files and remove the chunks, in one transaction. False: another run was faster, nothing is written.

        Raises what MongoDB raises; then the outcome may be unknown, and the next run finds out by what is stored.
        """
        if not written.chunks:
            return False
        try:
            await transaction(self._group, lambda session: self._publish(written, session))
        except SupersededError as error:
            log.info("%s: %s", self._group.name, error)
            self._storage.delete(await self._manifest.unlisted(written.files))
            return False
        return True

    async def _publish(self, written: Written, session: AsyncClientSession) -> None:
        await self._take(written.chunks, session)
        check_age(written.began_time, self._clock())
        await self._manifest.add(written.files, session)
        counts: Counter[tuple[int, int]] = Counter()
        for chunk in written.chunks:
            for minute, events in chunk.minutes:
                counts[chunk.partition, minute] += events
        added = [
            UpdateOne({"_id": {"partition": partition, "minute": minute}}, {"$inc": {"events": events}}, upsert=True)
            for (partition, minute), events in counts.items()
        ]
        await self._group["archived"].bulk_write(added, ordered=False, session=session)

    async def _take(self, chunks: Sequence[ChunkRef], session: AsyncClientSession) -> None:
        """Remove exactly these chunks, as they were read. A missing or rewritten one ends the transaction."""
        removed = await self._group["chunks"].bulk_write(
            [DeleteOne({"_id": chunk.id, **chunk.unchanged}) for chunk in chunks], ordered=False, session=session
        )
        if removed.deleted_count != len(chunks):
            raise SupersededError(
                f"{len(chunks) - removed.deleted_count} of {len(chunks)} chunks were archived or rewritten meanwhile."
            )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock() / 1000, UTC)


def units_of(chunks: Iterable[ChunkRef], max_events: int) -> Iterator[list[ChunkRef]]:
    """The chunks in order, in units of at most `max_events` together; a chunk is never cut."""
    unit: list[ChunkRef] = []
    events = 0
    for chunk in chunks:
        if unit and (events + chunk.events > max_events or len(unit) == MAX_UNIT_CHUNKS):
            yield unit
            unit, events = [], 0
        unit.append(chunk)
        events += chunk.events
    if unit:
        yield unit

"""The outbox: chunks of enriched events that consumers have committed and the archive has not yet taken.

A document of `chunks`: `{_id: {partition, first_offset}, end_offset, events, schema, sites, min_event_time,
max_event_time, minutes: [[append minute (Unix ms), events], …], data, created_at}`. A consumer writes it in its commit
and never again. `revision` is there after an erasure has rewritten it: `data` then holds fewer than `events` events.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pymongo.asynchronous.client_session import AsyncClientSession

from pistats.mongo.indexes import Database
from pistats.warehouse.chunk import decode_chunk
from pistats.warehouse.parquet import with_buckets
from pistats.warehouse.tombstones import Tombstone, batch_without_erased

Document = dict[str, Any]
ChunkKey = tuple[int, int, int, datetime]

READ_CHUNKS = 200
"""Chunks whose data is asked for by one command."""


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """Which chunk, without its data. `minutes`: append minute (Unix ms) and how many events of it."""

    partition: int
    first_offset: int
    revision: int
    created_at: datetime
    schema: int
    events: int
    minutes: tuple[tuple[int, int], ...]

    @property
    def id(self) -> Document:
        return {"partition": self.partition, "first_offset": self.first_offset}

    @property
    def key(self) -> ChunkKey:
        """Names these very bytes: not what a rewritten chunk, or another group of the same name, has there."""
        return (self.partition, self.first_offset, self.revision, self.created_at)

    @property
    def unchanged(self) -> Document:
        """What its document says of itself as long as its data is what was read."""
        return {"created_at": self.created_at, "revision": self.revision or None}

    @classmethod
    def from_document(cls, document: Document) -> "ChunkRef":
        """Read a document of `chunks`, with or without its data."""
        return cls(
            partition=document["_id"]["partition"],
            first_offset=document["_id"]["first_offset"],
            revision=document.get("revision", 0),
            created_at=document["created_at"],
            schema=document["schema"],
            events=document["events"],
            minutes=tuple((minute, events) for minute, events in document["minutes"]),
        )


class Outbox:
    """Reads the chunks of one consumer group."""

    def __init__(self, group: Database) -> None:
        self._chunks = group["chunks"]

    async def refs(
        self,
        site: str | None = None,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        session: AsyncClientSession | None = None,
    ) -> list[ChunkRef]:
        """The chunks that wait, in no order: with events of a site, and an event time in [from, to), where given."""
        wanted: Document = {} if site is None else {"sites": site}
        if from_ms is not None:
            wanted["max_event_time"] = {"$gte": from_ms}
        if to_ms is not None:
            wanted["min_event_time"] = {"$lt": to_ms}
        found = self._chunks.find(wanted, {"data": 0}, session=session)
        return [ChunkRef.from_document(document) async for document in found]

    async def oldest(self, limit: int, *, before: datetime) -> list[ChunkRef]:
        """The chunks that have waited longest, in that order; none that were committed after `before`."""
        found = self._chunks.find({"created_at": {"$lte": before}}, {"data": 0}).sort("created_at").limit(limit)
        return [ChunkRef.from_document(document) async for document in found]

    async def read(
        self, refs: Sequence[ChunkRef], *, session: AsyncClientSession | None = None
    ) -> AsyncIterator[tuple[ChunkRef, bytes]]:
        """These chunks with their data, in no order; without those that are gone or rewritten since."""
        wanted = {ref.key for ref in refs}
        for start in range(0, len(refs), READ_CHUNKS):
            ids = [ref.id for ref in refs[start : start + READ_CHUNKS]]
            async for document in self._chunks.find({"_id": {"$in": ids}}, session=session):
                ref = ChunkRef.from_document(document)
                if ref.key in wanted:
                    yield ref, bytes(document["data"])


class ChunkCache:
    """Decoded chunks by site, with buckets; the least recently used go first. A key's chunk never changes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._erased: set[Tombstone] = set()
        self._decoded: OrderedDict[ChunkKey, dict[str, pa.RecordBatch]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._decoded)

    def missing(self, refs: Iterable[ChunkRef]) -> list[ChunkRef]:
        """Those that have to be read."""
        return [ref for ref in refs if ref.key not in self._decoded]

    def get(self, ref: ChunkRef, site: str) -> pa.RecordBatch | None:
        """The chunk's events of a site; None when there are none. The chunk has to be in the cache."""
        self._decoded.move_to_end(ref.key)
        return self._decoded[ref.key].get(site)

    def erase(self, tombstones: Iterable[Tombstone]) -> None:
        """Keep nothing of these visitors from now on. Whoever was in has to be read again, once."""
        if new := set(tombstones) - self._erased:
            self._erased |= new
            self._decoded.clear()
            self._bytes = 0

    async def add(self, chunks: Sequence[tuple[ChunkRef, bytes]]) -> None:
        """Decode chunks, in a thread, and keep them. Call `trim` when they have been used."""
        for ref, sites in await asyncio.to_thread(_decode_all, chunks, tuple(self._erased)):
            if ref.key not in self._decoded:
                self._decoded[ref.key] = sites
                self._bytes += _bytes(sites)

    def trim(self) -> None:
        """Forget the least recently used until the rest is within the bound."""
        while self._bytes > self._max_bytes:
            _, sites = self._decoded.popitem(last=False)
            self._bytes -= _bytes(sites)


def _bytes(sites: dict[str, pa.RecordBatch]) -> int:
    return sum(batch.nbytes for batch in sites.values())


def _decode_all(
    chunks: Sequence[tuple[ChunkRef, bytes]], erased: Sequence[Tombstone]
) -> list[tuple[ChunkRef, dict[str, pa.RecordBatch]]]:
    decoded = ((ref, batch_without_erased(decode_chunk(data, ref.schema), erased)) for ref, data in chunks)
    return [(ref, by_site(with_buckets(events))) for ref, events in decoded]


def by_site(events: pa.RecordBatch) -> dict[str, pa.RecordBatch]:
    """The events of each site; copies nothing when there is only one."""
    sites = events.column("site").unique().to_pylist()
    if len(sites) == 1:
        return {sites[0]: events}
    return {site: events.filter(pc.equal(events.column("site"), site)) for site in sites}

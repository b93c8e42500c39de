"""Tombstones: what visitors asked to have erased stays erased, whoever reads the stream again.

`erasures` in the system database: `{_id: {site, visitor_id}, erased_time, done_time}`. What was received at or before
`erased_time` is dropped wherever events pass: consumers, archive, compaction, readers. What comes later is a new
visitor with an old id.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pymongo.asynchronous.client_session import AsyncClientSession

from pistats.mongo.indexes import Database


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One visitor of one site, erased up to and including `erased_time` (Unix ms of receipt)."""

    site: str
    visitor_id: str
    erased_time: int


async def erased_time_of(system: Database, site: str, visitor_id: str) -> int | None:
    """When the visitor was erased (Unix ms); None: never."""
    erasure = await system["erasures"].find_one({"_id": {"site": site, "visitor_id": visitor_id}}, {"erased_time": 1})
    return None if erasure is None else int(erasure["erased_time"])


async def load_tombstones(
    system: Database, sites: Collection[str] | None = None, *, session: AsyncClientSession | None = None
) -> list[Tombstone]:
    """Every tombstone, or those of some sites. Consumers and the archive need all of them, for ever."""
    wanted = {} if sites is None else {"_id.site": {"$in": list(sites)}}
    return [tombstone_of(one) async for one in system["erasures"].find(wanted, session=session)]


async def load_open_tombstones(
    system: Database, site: str, *, session: AsyncClientSession | None = None
) -> list[Tombstone]:
    """Those whose visitor may still be in a file or a chunk: what readers have to leave out."""
    wanted = {"_id.site": site, "done_time": None}
    return [tombstone_of(one) async for one in system["erasures"].find(wanted, session=session)]


def tombstone_of(document: Mapping[str, Any]) -> Tombstone:
    """The tombstone in a document of `erasures`."""
    return Tombstone(document["_id"]["site"], document["_id"]["visitor_id"], document["erased_time"])


def without_erased(events: pa.Table, tombstones: Sequence[Tombstone]) -> pa.Table:
    """The events that no tombstone covers, in order. Needs the columns site, visitor_id and received_time."""
    if not tombstones or events.num_rows == 0:
        return events
    suspects = pc.is_in(events["visitor_id"], pa.array([one.visitor_id for one in tombstones], pa.string()))
    rows = pc.indices_nonzero(suspects).to_pylist()
    if not rows:
        return events
    erased = {(one.site, one.visitor_id): one.erased_time for one in tombstones}
    found = events.select(["site", "visitor_id", "received_time"]).take(rows).to_pylist()
    kept = np.ones(events.num_rows, bool)
    for row, event in zip(rows, found, strict=True):
        kept[row] = event["received_time"] > erased.get((event["site"], event["visitor_id"]), -1)
    return events.filter(pa.array(kept))


def batch_without_erased(events: pa.RecordBatch, tombstones: Sequence[Tombstone]) -> pa.RecordBatch:
    """The same of one batch; the batch itself when all of its events stay."""
    kept = without_erased(pa.Table.from_batches([events]), tombstones)
    if kept.num_rows == events.num_rows:
        return events
    batches = kept.combine_chunks().to_batches()
    return batches[0] if batches else events.slice(0, 0)

"""Erasure of a visitor, everywhere: first a tombstone, then everything that is stored, in every consumer group.

From the tombstone on, no reader shows the visitor and no consumer, archive or compaction lets an event pass that was
received before. What is stored goes in passes, each of which may end anywhere and begin again: chunks of the outbox,
files, dead letters, the feed, and what only a partition's owner may write (by a request). A day later, when no run that
began before the tombstone can have left anything, one more pass makes the erasure done.

The stream keeps its records until its retention removes them; the tombstone stays for ever, so no replay brings them
back. An erasure in `erasures` of the system database: `_id` {site, visitor_id}, `erased_time`, `asked` (groups whose
partitions' owners were asked), `removed_time` and `done_time` (null before that), all Unix ms.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
from bson import Binary
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from pistats.clock import Clock, now_ms
from pistats.consumer.requests import Requests, erase_visitor
from pistats.errors import RetryableError
from pistats.identity import bucket_of
from pistats.mongo.indexes import Database
from pistats.mongo.sessions import transaction
from pistats.topology import load_topology
from pistats.visitors.erasures import NOTICE_MS, is_erased, spellings
from pistats.warehouse.ages import SETTLED_MS
from pistats.warehouse.chunk import decode_chunk, encode_chunk
from pistats.warehouse.day_visitors import DayVisitors
from pistats.warehouse.manifest import Manifest, WarehouseFile
from pistats.warehouse.outbox import ChunkRef, Outbox
from pistats.warehouse.parquet import read_rows
from pistats.warehouse.rewrite import Rewrite, Rewriter
from pistats.warehouse.rollup_files import RollupStore
from pistats.warehouse.storage import ROLLUPS, Storage
from pistats.warehouse.sweep import Sweep
from pistats.warehouse.tombstones import Tombstone, batch_without_erased, tombstone_of, without_erased
from pistats.warehouse.writer import FileWriter

ATTEMPTS = 20
"""At finding files and chunks as they are while archive and compaction move them."""

LOOKED_AT = ["site", "visitor_id", "received_time"]
"""Columns that say whether a row is erased."""


async def request_erasure(system: Database, site: str, visitor_id: str, clock: Clock = now_ms) -> Tombstone:
    """Store the tombstone: what is received of this visitor up to two seconds from now is not shown, and removed.

    Everything later is a new visitor, for everyone alike: see `NOTICE_MS`. Asking again erases what came since.
    `Eraser` does the rest; the archive's job runs it every few minutes.
    """
    while True:
        erased_time = clock() + NOTICE_MS
        erasure = await system["erasures"].find_one_and_update(
            {"_id": {"site": site, "visitor_id": visitor_id}},
            {"$max": {"erased_time": erased_time}, "$set": {"asked": [], "removed_time": None, "done_time": None}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert erasure is not None  # upserted
        if clock() <= erased_time - NOTICE_MS // 2:  # else the write took so long that a consumer may have missed it
            return tombstone_of(erasure)


@dataclass(frozen=True, slots=True)
class Removed:
    """What one pass over one group has removed. All zero: there is nothing left of these visitors."""

    chunks: int = 0
    files: int = 0
    dead_letters: int = 0
    feeds: int = 0
    rollups: int = 0
    """Files of counted days that named them."""
    requests: int = 0
    """To owners, that would have brought them back or were put aside."""
    waiting: int = 0
    """Requests that the partitions' owners have not carried out yet."""

    @property
    def nothing(self) -> bool:
        return self == Removed()

    @property
    def only_waits(self) -> bool:
        """Nothing was found but requests."""
        return self == Removed(waiting=self.waiting)


class Eraser:
    """Carries out every erasure that is not done, in all groups. May be repeated, by several, and end anywhere."""

    def __init__(
        self,
        system: Database,
        groups: Mapping[str, Database],
        storage: Storage,
        run_id: str,
        *,
        clock: Clock = now_ms,
    ) -> None:
        """`groups`: every consumer group that is not being dropped, by name."""
        self._system = system
        self._groups = groups
        self._storage = storage
        self._run_id = run_id
        self._clock = clock

    async def run(self) -> dict[str, Removed]:
        """One pass: remove what is there of visitors whose erasure is not done. By group; empty when none is open."""
        began = self._clock()
        open_ = [tombstone_of(one) async for one in self._system["erasures"].find({"done_time": None})]
        if not open_:
            return {}
        removed = {}
        for name, group in self._groups.items():
            await self._ask_owners(name, group, open_)
            removed[name] = await self._pass(name, group, open_)
        if all(one.nothing for one in removed.values()):
            if any(_settled(one, began) for one in open_):
                await self._sweep_garbage()
            for tombstone in open_:
                await self._note(tombstone, began)
        return removed

    async def _pass(self, name: str, group: Database, tombstones: Sequence[Tombstone]) -> Removed:
        by_site = defaultdict(list)
        for tombstone in tombstones:
            by_site[tombstone.site].append(tombstone)
        # Before everything else: an owner that was asked commits nothing any more that its tombstones don't know.
        waiting = await self._waiting(group, tombstones)
        chunks = files = feeds = rollups = 0
        days = DayVisitors(RollupStore(group), self._storage, name, self._run_id)
        rewriter = Rewriter(
            group, self._system, self._storage, FileWriter(self._storage, name, self._run_id), self._clock
        )
        for site, of_site in by_site.items():
            # Chunks before files: the archive moves events in that direction only.
            chunks += await self._from_chunks(group, site, of_site)
            files += await self._from_files(group, rewriter, site, of_site)
            rollups += await self._from_rollups(group, days, site, of_site)
            feeds += await self._from_feed(group, of_site)
        requests = await self._from_requests(group, tombstones)
        letters = await self._from_dead_letters(group, tombstones)
        return Removed(chunks, files, letters, feeds, rollups, requests, waiting)

    async def _ask_owners(self, name: str, group: Database, tombstones: Sequence[Tombstone]) -> None:
        """One request per erasure and group."""
        topology = await load_topology(self._system)
        for tombstone in tombstones:
            partition = topology.partition_of(bucket_of(tombstone.site, tombstone.visitor_id))
            await transaction(self._system, partial(self._ask_owner, name, group, tombstone, partition))

    async def _ask_owner(
        self, name: str, group: Database, tombstone: Tombstone, partition: int, session: AsyncClientSession
    ) -> None:
        erasure = {**_id_of(tombstone), "erased_time": tombstone.erased_time, "asked": {"$ne": name}}
        noted = await self._system["erasures"].update_one(erasure, {"$push": {"asked": name}}, session=session)
        if noted.modified_count:
            request = erase_visitor(partition, tombstone.site, tombstone.visitor_id, tombstone.erased_time)
            await Requests(group, self._clock).add([request], session)

    async def _from_chunks(self, group: Database, site: str, tombstones: Sequence[Tombstone]) -> int:
        """Rewrite the chunks that hold one of these visitors. How many."""
        outbox, rewritten = Outbox(group), 0
        for _ in range(ATTEMPTS):
            missed = 0
            until = max(one.erased_time for one in tombstones) + 1
            async for ref, data in outbox.read(await outbox.refs(site, to_ms=until)):
                kept = await asyncio.to_thread(_without, data, ref.schema, tombstones)
                if kept is None:
                    continue
                if await self._rewrite_chunk(group, ref, kept):
                    rewritten += 1
                else:
                    missed += 1
            if not missed:
                return rewritten
        raise RetryableError(f"{group.name}: chunks with erased visitors are being moved all the time: run it again.")

    async def _rewrite_chunk(self, group: Database, ref: ChunkRef, kept: pa.RecordBatch) -> bool:
        """Its counts stay: they are of what was consumed, as the ledger's are."""
        changed = {
            "data": Binary(encode_chunk(kept)),
            "sites": sorted(kept.column("site").unique().to_pylist()),
        }
        result = await group["chunks"].update_one(
            {"_id": ref.id, **ref.unchanged}, {"$set": changed, "$inc": {"revision": 1}}
        )
        return result.modified_count == 1

    async def _from_files(self, group: Database, rewriter: Rewriter, site: str, tombstones: Sequence[Tombstone]) -> int:
        """Rewrite the files that hold one of these visitors; their dates become dirty. How many."""
        manifest, rewritten, clean = Manifest(group), 0, set[str]()
        for _ in range(ATTEMPTS):
            missed = 0
            until = max(one.erased_time for one in tombstones) + 1
            for file in await manifest.files(site, to_ms=until):
                if file.path in clean:
                    continue
                try:
                    found = await asyncio.to_thread(self._holds, file, tombstones)
                except FileNotFoundError:
                    missed += 1  # replaced since it was listed
                    continue
                if not found:
                    clean.add(file.path)
                elif await rewriter.rewrite(Rewrite((file,), (file.buckets,))) is None:
                    missed += 1
                else:
                    rewritten += 1
            if not missed:
                return rewritten
        raise RetryableError(f"{group.name}: files with erased visitors are replaced all the time: run it again.")

    def _holds(self, file: WarehouseFile, tombstones: Sequence[Tombstone]) -> bool:
        """Whether the file has a row of one of these visitors. Reads three columns of their buckets' row groups."""
        for bucket in sorted({bucket_of(one.site, one.visitor_id) for one in tombstones}):
            if file.buckets[0] <= bucket <= file.buckets[1]:
                rows = read_rows(self._storage, file.path, (bucket, bucket), LOOKED_AT)
                if without_erased(rows, tombstones).num_rows < rows.num_rows:
                    return True
        return False

    async def _from_rollups(
        self, group: Database, days: DayVisitors, site: str, tombstones: Sequence[Tombstone]
    ) -> int:
        """Rewrite the files of counted days that name one of these visitors; what was counted stays. How many.

        Whoever is in a day that was read after the erasure has come back. The job `rollup` counts dirty days anew; of
        the others, whose events the site keeps no longer, this alone takes the visitor.
        """
        store, rewritten = RollupStore(group), 0
        for _ in range(ATTEMPTS):
            missed = 0
            for rollup in await store.read_until(site, max(one.erased_time for one in tombstones)):
                gone = [one.visitor_id for one in tombstones if rollup.read_time <= one.erased_time]
                try:
                    if not await asyncio.to_thread(days.holds, rollup, gone):
                        continue
                    done = await days.forget(rollup, gone)
                except FileNotFoundError:
                    done = False  # replaced since it was listed
                rewritten += done
                missed += not done
            if not missed:
                return rewritten
        raise RetryableError(
            f"{group.name}: counted days with erased visitors are replaced all the time: run it again."
        )

    async def _from_dead_letters(self, group: Database, tombstones: Sequence[Tombstone]) -> int:
        erased_times = _erased_times(tombstones)
        fields = dict.fromkeys(("payload", "received", "append_minute", "created_at"), 1)
        erased = [
            letter["_id"]
            async for letter in group["dead_letters"].find({}, fields)
            if any(
                is_erased(bytes(letter[one]), erased_times, _received_by(letter))
                for one in ("payload", "received")
                if one in letter
            )
        ]
        result = await group["dead_letters"].delete_many({"_id": {"$in": erased}})
        return result.deleted_count

    async def _from_requests(self, group: Database, tombstones: Sequence[Tombstone]) -> int:
        """Also of those that were put aside: nobody does them any more. An owner that is at one knows the tombstone."""
        requests, changed = group["requests"], 0
        for one in tombstones:
            merges = {"kind": "merge_visitors", "known_time": {"$lte": one.erased_time}}
            theirs = {"visitors": {"$elemMatch": {"0": one.site, "1": one.visitor_id}}}
            left = {"$filter": {"input": "$visitors", "cond": {"$not": _is_visitor(one)}}}
            result = await requests.update_many({**merges, **theirs}, [{"$set": {"visitors": left}}])
            changed += result.modified_count
            # An error may quote what it was about.
            for spelling in spellings(one.visitor_id):
                quoted = {"error": {"$regex": re.escape(spelling.decode())}}
                result = await requests.update_many(quoted, {"$set": {"error": "of a visitor who was erased"}})
                changed += result.modified_count
        erased_times = _erased_times(tombstones)
        mended = [
            request["_id"]
            async for request in requests.find({"kind": "redo_dead_letter", "mended": {"$exists": True}})
            if is_erased(bytes(request["mended"]), erased_times, _received_by(request))
        ]
        return changed + (await requests.delete_many({"_id": {"$in": mended}})).deleted_count

    async def _from_feed(self, group: Database, tombstones: Sequence[Tombstone]) -> int:
        """Also of partitions that nobody owns any more; their owners have been asked to forget it in memory."""
        changed = 0
        for one in tombstones:
            erased = {"visitor_id": one.visitor_id, "event_time": {"$lte": one.erased_time}}
            result = await group["feed"].update_many(
                {"_id.site": one.site, "events": {"$elemMatch": erased}}, {"$pull": {"events": erased}}
            )
            changed += result.modified_count
        return changed

    async def _waiting(self, group: Database, tombstones: Sequence[Tombstone]) -> int:
        """Requests about these visitors that are not carried out, or were put aside because they failed."""
        wanted = [{"site": one.site, "visitor_id": one.visitor_id} for one in tombstones]
        return await group["requests"].count_documents({"kind": "erase_visitor", "$or": wanted})

    async def _note(self, tombstone: Tombstone, began: int) -> None:
        """Nothing was found: removed. And done, if no run that didn't know the tombstone can have left anything."""
        erasure = {**_id_of(tombstone), "erased_time": tombstone.erased_time}
        erasures = self._system["erasures"]
        await erasures.update_one({**erasure, "removed_time": None}, {"$set": {"removed_time": self._clock()}})
        noted = await erasures.find_one(erasure, {"removed_time": 1})
        if noted is None or not _settled(tombstone, began):
            return
        if not await self._replaced_files(tombstone.site, noted["removed_time"]):
            await erasures.update_one(erasure, {"$set": {"done_time": self._clock()}})

    async def _sweep_garbage(self) -> None:
        """What runs that died have left behind, and that compaction may sweep only tomorrow."""
        for name, group in self._groups.items():
            await Sweep(group, self._storage, name, grace_s=0, clock=self._clock).garbage()

    async def _replaced_files(self, site: str, removed_time: int) -> int:
        """Files of the site that were replaced by then and still have to be deleted: one may hold the visitor."""
        until = datetime.fromtimestamp(removed_time / 1000, UTC)
        waiting = 0
        for name, group in self._groups.items():
            for folder in (name, f"{ROLLUPS}/{name}"):
                of_site = {"_id": {"$gte": f"{folder}/site={site}/", "$lt": f"{folder}/site={site}0"}}
                waiting += await group["removed_files"].count_documents({**of_site, "removed_at": {"$lte": until}})
        return waiting


def _settled(tombstone: Tombstone, now: int) -> bool:
    """Whether every run that had not seen the tombstone has ended by now, and what it left is old enough to go."""
    return now - tombstone.erased_time >= SETTLED_MS


def _id_of(tombstone: Tombstone) -> dict[str, Any]:
    return {"_id": {"site": tombstone.site, "visitor_id": tombstone.visitor_id}}


def _without(data: bytes, schema: int, tombstones: Sequence[Tombstone]) -> pa.RecordBatch | None:
    """The events of a chunk that stay; None when all of them do."""
    events = decode_chunk(data, schema)
    kept = batch_without_erased(events, tombstones)
    return None if kept is events else kept


def _erased_times(tombstones: Sequence[Tombstone]) -> dict[tuple[str, str], int]:
    return {(one.site, one.visitor_id): one.erased_time for one in tombstones}


def _received_by(document: Mapping[str, Any]) -> int:
    """When the record of a dead letter, or of a request about one, was there at the latest (Unix ms)."""
    created: datetime = document["created_at"]
    return int(document.get("append_minute", created.timestamp() * 1000))


def _is_visitor(tombstone: Tombstone) -> dict[str, Any]:
    """Whether an element of `visitors`, as `merge_visitors` has it, is this one."""
    names = enumerate((tombstone.site, tombstone.visitor_id))
    return {"$and": [{"$eq": [{"$arrayElemAt": ["$$this", at]}, {"$literal": name}]} for at, name in names]}

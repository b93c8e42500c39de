"""Leases on partitions, by MongoDB's clock. The lease and the checkpoint are one document of `partitions`.

So a takeover and a commit in flight write the same document, and one of the two fails: never both succeed.

A document: `_id` (partition), `epoch` (raised by every acquisition), `owner`, `expires_at`, `offset` (next to consume;
null until the group's start is known), `start_offset` (where the group began), `append_time` (Unix ms, of the last
record consumed), `duplicates` (what the partition had acknowledged without storing by then), `committed_at`,
`checked_at`, `caught_up`, `counts` of all that was consumed, `session` (the owner's, in MongoDB), `life` (the
owner's process), `cuts` (see `pistats.consumer.barrier`), and after a death what `pistats.consumer.poison` notes.

MongoDB keeps a dead client's open transaction, and its lock on this document, for a minute. The session's id is there
so that who takes over can end it at once.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bson import Binary
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from pistats.errors import FencedError

NEVER = datetime.fromtimestamp(0, UTC)
NOT_EXPIRED = {"$gt": ["$expires_at", "$$NOW"]}
EXPIRED = {"$lte": ["$expires_at", "$$NOW"]}


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to consume one partition, void as soon as the epoch in MongoDB is higher or the lease ran out."""

    partition: int
    owner: str
    epoch: int
    offset: int | None  # where the last commit ended; None: nothing was ever committed
    duplicates: int | None = None  # of the partition by then; None: not known
    died: bool = field(default=False, compare=False)  # the owner before, another process, said no word
    document: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)  # of the partition, as taken


class LeaseStore:
    """Takes, renews and gives back leases in one group's database. Every call may be repeated."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], lease_s: float) -> None:
        self._database = database
        self._partitions = database["partitions"]
        self._lease_ms = int(lease_s * 1000)

    async def declare(self, partition: int) -> None:
        """Make the partition's document, free for anyone, unless there is one."""
        await self._partitions.update_one(
            {"_id": partition},
            {
                "$setOnInsert": {
                    "epoch": 0,
                    "owner": "",
                    "session": None,
                    "expires_at": NEVER,
                    "offset": None,
                    "append_time": None,
                    "committed_at": None,
                    "checked_at": None,
                    "caught_up": False,
                    "duplicates": None,
                    "counts": {"enriched": 0, "bots": 0, "dead_lettered": 0, "erased": 0},
                }
            },
            upsert=True,
        )

    async def acquire(
        self, partition: int, owner: str, session_id: Binary | None = None, life: str | None = None
    ) -> Lease | None:
        """Take a declared partition that is free, has expired, or is `owner`'s already; None when another holds it.

        Raises the epoch, so that whoever held it before, an earlier life of `owner` included, is fenced.
        `session_id`: of the session in which the new owner will commit. `life`: of its process.
        """
        free = {"_id": partition, "$or": [{"owner": owner}, {"$expr": EXPIRED}]}
        before = await self._partitions.find_one(free, {"session": 1, "owner": 1, "epoch": 1, "life": 1})
        if before is None:
            return None
        await self._end_session(before.get("session"))
        taken = {"owner": {"$literal": owner}, "session": session_id, "life": life, "expires_at": self.expiry}
        document = await self._partitions.find_one_and_update(
            {**free, "epoch": before["epoch"]},
            [{"$set": {"epoch": {"$add": ["$epoch", 1]}, **taken}}],
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            return None
        here = before["session"] in (None, session_id) or (life is not None and before.get("life") == life)
        died = before["owner"] != "" and not here
        duplicates = document.get("duplicates")
        return Lease(partition, owner, document["epoch"], document["offset"], duplicates, died, document)

    async def _end_session(self, session_id: Binary | None) -> None:
        """Abort what the former owner has under way: its lease is void, so it could not commit any more."""
        if session_id is not None:
            with contextlib.suppress(OperationFailure):  # not allowed to: then it ends by MongoDB's own limit
                await self._database.client.admin.command("killSessions", [{"id": session_id}])

    async def renew(
        self, lease: Lease, *, fields: dict[str, Any] | None = None, session: AsyncClientSession | None = None
    ) -> None:
        """Extend the lease from now, and set `fields` (aggregation expressions) of its document in the same write.

        Raises FencedError when it ran out or another has it: then nothing is written.
        """
        result = await self._partitions.update_one(
            self.held(lease), [{"$set": {"expires_at": self.expiry, **(fields or {})}}], session=session
        )
        if result.matched_count == 0:
            raise FencedError(f"Partition {lease.partition}: epoch {lease.epoch} of {lease.owner} no longer holds.")

    async def release(self, lease: Lease) -> None:
        """Give the partition back: another may take it at once. Does nothing when the lease is void."""
        await self._partitions.update_one(
            {"_id": lease.partition, "epoch": lease.epoch},
            [{"$set": {"expires_at": "$$NOW", "owner": "", "session": None}}],
        )

    async def free(self) -> list[int]:
        """Declared partitions that nobody holds now."""
        return [document["_id"] async for document in self._partitions.find({"$expr": EXPIRED}, {"_id": 1})]

    async def held_by(self, owner: str) -> list[int]:
        """Partitions leased to `owner`, by an earlier life of it for example."""
        return [document["_id"] async for document in self._partitions.find({"owner": owner}, {"_id": 1})]

    async def lives(self) -> dict[str, str]:
        """The newest process of each consumer of the group, by its name, as far as it has said so."""
        found = self._database["members"].find({"life": {"$type": "string"}}, {"life": 1})
        return {document["_id"]: document["life"] async for document in found}

    @property
    def expiry(self) -> dict[str, Any]:
        """The expression for "a lease from now", by the server's clock."""
        return {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": self._lease_ms}}

    @staticmethod
    def held(lease: Lease) -> dict[str, Any]:
        """The filter that matches the partition's document as long as `lease` is valid."""
        return {"_id": lease.partition, "epoch": lease.epoch, "$expr": NOT_EXPIRED}

"""What the owner of a partition is asked to do beside consuming: whatever changes documents that only it may write.

`requests` in a group's database is an ordered list of work: `_id`, `partition`, `kind`, `created_at`, `tries` (how
often a process has ended while at it), `at_it` (the processes that have it in hand), and what the kind needs. The owner
looks about once a second, and does a request in a commit that also deletes it: so it takes effect exactly once, however
often the owner dies. Whoever asks can wait until the request is gone.

| kind | needs | does |
|---|---|---|
| `redo_dead_letter` | `offset`, `mended`? | enriches the event again: it is counted, or stays with a new reason |
| `merge_visitors` | `visitors`: [[site, id, first_time, [day, …]], …], `known_time` | adds a backfill's visitors |
| `erase_visitor` | `site`, `visitor_id` | forgets a visitor |
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.write_concern import WriteConcern

from pistats.clock import Clock, now_ms
from pistats.consumer.poison import Life
from pistats.mongo.indexes import Database

Kind = Literal["redo_dead_letter", "merge_visitors", "erase_visitor"]
Request = dict[str, Any]

MAX_TRIES = 3
"""How often a request may end the process before it is given up: as many as for an event of the log."""


def redo_dead_letter(partition: int, offset: int, mended: bytes | None = None) -> Request:
    """Ask to enrich a dead letter again, as it is or with the bytes as `mended`. The same one as long as it waits."""
    request_id = f"redo:{partition}:{offset}"
    asked: Request = {"_id": request_id, "partition": partition, "kind": "redo_dead_letter", "offset": offset}
    if mended is not None:  # beside a request that waits already, which may be under way
        asked |= {"_id": f"{request_id}:{hashlib.sha256(mended).hexdigest()[:16]}", "mended": mended}
    return asked


def merge_visitors(request_id: str, partition: int, visitors: Sequence[Sequence[Any]], known_time: int) -> Request:
    """Ask to merge what a backfill knows: [site, visitor_id, first_time, [day, …]] each, at most 1,000.

    `request_id` is the same whenever the same backfill asks for the same. `known_time`: before it looked for
    tombstones (Unix ms); who was erased later is left out.
    """
    return {
        "_id": request_id,
        "partition": partition,
        "kind": "merge_visitors",
        "visitors": list(visitors),
        "known_time": known_time,
    }


def erase_visitor(partition: int, site: str, visitor_id: str, erased_time: int) -> Request:
    """Ask to forget a visitor. The same request as long as it waits, for the same tombstone.

    `erased_time`: the tombstone's, Unix ms. An owner that is at an earlier request may not know of this one.
    """
    request_id = f"erase:{partition}:{site}:{visitor_id}:{erased_time}"
    return {
        "_id": request_id,
        "partition": partition,
        "kind": "erase_visitor",
        "site": site,
        "visitor_id": visitor_id,
    }


class Requests:
    """The list of one group."""

    def __init__(self, group: Database, clock: Clock = now_ms) -> None:
        self._requests = group["requests"]
        self._clock = clock

    async def add(self, requests: Iterable[Request], session: AsyncClientSession | None = None) -> int:
        """Put them at the end of the list, in this order. How many were not waiting there already."""
        added = 0
        for batch in _batches(requests):
            now = datetime.fromtimestamp(self._clock() / 1000, UTC)
            updates = [
                UpdateOne(
                    {"_id": one["_id"]},
                    {"$setOnInsert": {**_without_id(one), "created_at": now, "position": position, "tries": 0}},
                    upsert=True,
                )
                for position, one in enumerate(batch)
            ]
            added += (await self._requests.bulk_write(updates, session=session)).upserted_count
        return added

    async def waiting(self, partition: int, most: int) -> list[Request]:
        """The first requests of a partition, in order."""
        return await (
            self._requests.find({"partition": partition})
            .sort([("created_at", 1), ("position", 1), ("_id", 1)])
            .limit(most)
            .to_list()
        )

    async def of(self, request_id: Any) -> list[Request]:
        """That request as it is now; nothing when it is done."""
        return await self._requests.find({"_id": request_id}).to_list()

    async def unfinished(self, request_ids: Sequence[Any]) -> int:
        """How many of these still wait."""
        return await self._requests.count_documents({"_id": {"$in": list(request_ids)}})

    async def begin(self, requests: Sequence[Request], life: Life) -> None:
        """Note that this process has them in hand."""
        await self._requests.update_many(_these(requests), {"$addToSet": {"at_it": _at_it(life)}})

    async def end(self, requests: Sequence[Request], life: Life) -> None:
        """Note that they did not end it."""
        await self._requests.update_many(_these(requests), {"$pull": {"at_it": _at_it(life)}})

    async def ended(self, requests: Sequence[Request], life: Life) -> None:
        """Note that this process has ended while it had them in hand. Whoever finds it out first counts it, once."""
        at_it = _at_it(life)
        change = {"$pull": {"at_it": at_it}, "$inc": {"tries": 1}}
        await self._requests.update_many({**_these(requests), "at_it": at_it}, change)

    async def put_aside(self, requests: Sequence[Request], error: str) -> None:
        """Take what cannot be done out of the line, but keep it, with the reason, for whoever looks into it."""
        await self._requests.update_many(
            _these(requests), [{"$set": {"partition": None, "was": "$partition", "error": {"$literal": error}}}]
        )

    async def aside(self, most: int) -> list[Request]:
        """Some of those that were put aside: `was` says of which partition, `error` why."""
        return await self._requests.find({"partition": None}, {"visitors": 0}).sort("created_at").limit(most).to_list()

    async def split(self, request: Request, parts: Mapping[int, Mapping[str, Any]]) -> None:
        """Put one request per partition in the place of this one. `parts`: what differs, by partition."""
        pieces = [
            {**request, **fields, "at_it": [], "_id": f"{request['_id']}>{partition}", "partition": partition}
            for partition, fields in parts.items()
        ]

        async def write(session: AsyncClientSession) -> None:
            deleted = await self._requests.delete_one({"_id": request["_id"]}, session=session)
            if deleted.deleted_count:
                await self.add(pieces, session)  # one that waits already, after a move to and fro, is the same

        async with self._requests.database.client.start_session() as session:
            await session.with_transaction(write, write_concern=WriteConcern("majority"))


BATCH = 1_000


def _batches(requests: Iterable[Request]) -> Iterable[list[Request]]:
    batch: list[Request] = []
    for request in requests:
        batch.append(request)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def lives_at(request: Request) -> list[Life]:
    """The processes that had this request in hand and have not said that they ended it well."""
    return [(one["owner"], one["life"]) for one in request.get("at_it", ())]


def _at_it(life: Life) -> dict[str, str]:
    owner, process = life
    return {"owner": owner, "life": process}


def _these(requests: Sequence[Request]) -> dict[str, Any]:
    return {"_id": {"$in": [one["_id"] for one in requests]}}


def _without_id(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name != "_id"}

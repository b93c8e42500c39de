"""The one transaction of a flush: everything that a range of records changes, and the checkpoint that says so.

Its first write moves the checkpoint from the offset and epoch that this consumer holds. When that matches nothing,
the consumer is fenced and nothing is written. So a range is counted once, however often it is read.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pymongo
from bson import Binary
from pymongo import ReplaceOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from pistats.consumer.barrier import no_cut_beyond
from pistats.consumer.lease import Lease, LeaseStore
from pistats.consumer.requests import Request, Requests
from pistats.consumer.tally import Tally, totals, update_of
from pistats.errors import FencedError, UnavailableError

Document = dict[str, Any]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Flush:
    """What the records `from_offset … to_offset - 1` of a partition change; written wholly or not at all."""

    lease: Lease
    from_offset: int  # the checkpoint as it stands
    to_offset: int
    append_time: int | None  # Unix ms, of the last record; None when there is none, as for requests alone
    caught_up: bool | None  # nothing was waiting behind these records; None: as it was
    documents: Mapping[str, Sequence[Document]] = field(default_factory=dict)  # whole documents per collection
    chunks: Sequence[Document] = ()  # new documents of the outbox
    ledger: Mapping[int, Tally] = field(default_factory=dict)  # per append minute, Unix ms
    removed: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # `_id`s per collection; absent ones are fine
    requests: Sequence[Any] = ()  # `_id`s of requests that are done by this: each must still be there
    asked: Sequence[Request] = ()  # new requests, of other partitions' owners
    duplicates: int | None = None  # what the partition had acknowledged without storing, up to the last record
    cuts_passed: int | None = None  # changes of the layout that the requests' visitors were read behind; None: any


class Committer:
    """Commits one partition's flushes, one at a time, and finds out what became of a commit without an answer."""

    def __init__(self, database: AsyncDatabase[Document], leases: LeaseStore, timeout_s: float) -> None:
        self._database = database
        self._leases = leases
        self._timeout_s = timeout_s
        self._session = database.client.start_session()

    @property
    def session_id(self) -> Binary:
        """Of the one session in which all commits are made: see `LeaseStore.acquire`."""
        session_id: Binary = self._session.session_id["id"]
        return session_id

    async def close(self) -> None:
        """Give the session back. May be repeated."""
        await self._session.end_session()

    async def commit(self, flush: Flush) -> None:
        """Return when the flush is durable on a majority; repeating it then raises FencedError, nothing doubles.

        Raises FencedError: the lease is void or the checkpoint is elsewhere, nothing was written. UnavailableError:
        the outcome is no or unknown; take the lease again, which settles it, and read the checkpoint.
        """

        async def write(session: AsyncClientSession) -> None:  # may run several times: touches the session only
            await self._write(flush, session)

        try:
            with pymongo.timeout(self._timeout_s):
                await self._session.with_transaction(
                    write, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
                )
        except PyMongoError as error:
            if not await self._landed(flush):
                raise UnavailableError(
                    f"Partition {flush.lease.partition}: offsets {flush.from_offset} to {flush.to_offset} were not "
                    f"committed: {error}"
                ) from error
            log.info("partition %s: commit of %s had no answer but happened", flush.lease.partition, flush.to_offset)

    async def _write(self, flush: Flush, session: AsyncClientSession) -> None:
        await self._move_checkpoint(flush, session)
        if flush.requests:
            await self._take_off(flush, session)
        for collection, documents in flush.documents.items():
            if documents:
                replacements = [ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents]
                await self._database[collection].bulk_write(replacements, ordered=False, session=session)
        for collection, ids in flush.removed.items():
            if ids:
                await self._database[collection].delete_many({"_id": {"$in": list(ids)}}, session=session)
        if flush.chunks:
            await self._database["chunks"].insert_many(flush.chunks, session=session)
        if flush.asked:
            await Requests(self._database).add(flush.asked, session)
        if flush.ledger:
            await self._database["ledger"].bulk_write(_ledger_updates(flush), ordered=False, session=session)

    async def _move_checkpoint(self, flush: Flush, session: AsyncClientSession) -> None:
        in_force = {} if flush.cuts_passed is None else no_cut_beyond(flush.cuts_passed)
        moved = await self._database["partitions"].update_one(
            {**self._leases.held(flush.lease), "offset": flush.from_offset, **in_force},
            [
                {
                    "$set": {
                        "offset": flush.to_offset,
                        "append_time": "$append_time" if flush.append_time is None else flush.append_time,
                        "caught_up": "$caught_up" if flush.caught_up is None else flush.caught_up,
                        "committed_at": "$$NOW",
                        "checked_at": "$$NOW",
                        "expires_at": self._leases.expiry,
                        "duplicates": flush.duplicates,
                        "counts": {
                            outcome: {"$add": [{"$ifNull": [f"$counts.{outcome}", 0]}, count]}
                            for outcome, count in totals(flush.ledger).items()
                        },
                    }
                }
            ],
            session=session,
        )
        if moved.matched_count == 0:
            raise FencedError(
                f"Partition {flush.lease.partition}: epoch {flush.lease.epoch} of {flush.lease.owner} no longer holds "
                f"offset {flush.from_offset}, or visitors have moved since; nothing was written."
            )

    async def _take_off(self, flush: Flush, session: AsyncClientSession) -> None:
        """Delete the requests that this does. One that is gone has been done already: then nothing is written."""
        ids = list(flush.requests)
        deleted = await self._database["requests"].delete_many({"_id": {"$in": ids}}, session=session)
        if deleted.deleted_count != len(ids):
            raise FencedError(f"Partition {flush.lease.partition}: a request was done before; nothing was written.")

    async def _landed(self, flush: Flush) -> bool:
        """Whether the checkpoint stands where only this flush can have put it, and its requests are gone.

        The requests first: if the epoch is still this lease's afterwards, nobody else can have done them.
        """
        if flush.from_offset == flush.to_offset and not flush.requests:
            return False  # nothing moves by which it could be told
        concern = ReadConcern("majority")
        requests = self._database.get_collection("requests", read_concern=concern)
        partitions = self._database.get_collection("partitions", read_concern=concern)
        try:
            with pymongo.timeout(self._timeout_s):
                if flush.requests and await requests.count_documents({"_id": {"$in": list(flush.requests)}}):
                    return False
                found = await partitions.find_one({"_id": flush.lease.partition}, {"epoch": 1, "offset": 1})
        except PyMongoError:
            return False
        return found is not None and (found["epoch"], found["offset"]) == (flush.lease.epoch, flush.to_offset)


def _ledger_updates(flush: Flush) -> list[UpdateOne]:
    return [
        UpdateOne({"_id": {"partition": flush.lease.partition, "minute": minute}}, update_of(tally), upsert=True)
        for minute, tally in flush.ledger.items()
    ]

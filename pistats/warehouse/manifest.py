"""Which files the warehouse of one consumer group consists of. A file that is not listed does not exist for readers.

Every change is made in a caller's transaction, so that readers, who read in a snapshot, see it whole or not at all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern

from pistats.errors import RetryableError
from pistats.mongo.indexes import Database

Origin = Literal["stream", "import"]
Document = dict[str, Any]


class SupersededError(RetryableError):
    """Another run has changed the same files or chunks first. Nothing was written; look again at what is left."""


@dataclass(frozen=True, slots=True)
class WarehouseFile:
    """One file of the manifest. `date` is the UTC date of every event in it; times in Unix ms, both ends included."""

    path: str  # relative to the warehouse's root
    site: str
    date: str
    buckets: tuple[int, int]
    rows: int
    bytes: int
    min_event_time: int
    max_event_time: int
    run_id: str
    origin: Origin
    created_time: int

    def document(self) -> Document:
        """As the manifest stores it."""
        return {
            "_id": self.path,
            "site": self.site,
            "date": self.date,
            "buckets": list(self.buckets),
            "rows": self.rows,
            "bytes": self.bytes,
            "min_event_time": self.min_event_time,
            "max_event_time": self.max_event_time,
            "run_id": self.run_id,
            "origin": self.origin,
            "created_at": datetime.fromtimestamp(self.created_time / 1000, UTC),
        }

    @classmethod
    def from_document(cls, document: Document) -> "WarehouseFile":
        """Read what `document` gave."""
        lo, hi = document["buckets"]
        return cls(
            path=document["_id"],
            site=document["site"],
            date=document["date"],
            buckets=(lo, hi),
            rows=document["rows"],
            bytes=document["bytes"],
            min_event_time=document["min_event_time"],
            max_event_time=document["max_event_time"],
            run_id=document["run_id"],
            origin=document["origin"],
            created_time=int(document["created_at"].timestamp() * 1000),
        )


class Manifest:
    """The listed files (`files`), those that were listed and wait for their deletion (`removed_files`), dirty dates."""

    def __init__(self, group: Database) -> None:
        self._files = group["files"]
        self._removed = group["removed_files"]
        self._dirty = group["dirty_dates"]

    async def files(
        self,
        site: str | None = None,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        session: AsyncClientSession | None = None,
    ) -> list[WarehouseFile]:
        """Listed files, by path: of a site, and with an event time in [from, to), where these are given."""
        wanted: Document = {} if site is None else {"site": site}
        if from_ms is not None:
            wanted["max_event_time"] = {"$gte": from_ms}
        if to_ms is not None:
            wanted["min_event_time"] = {"$lt": to_ms}
        found = self._files.find(wanted, session=session).sort("_id")
        return [WarehouseFile.from_document(document) async for document in found]

    async def lists(self, files: Sequence[WarehouseFile]) -> bool:
        """Whether all of these are listed now."""
        return await self._files.count_documents({"_id": {"$in": [file.path for file in files]}}) == len(files)

    async def unlisted(self, files: Sequence[WarehouseFile]) -> list[str]:
        """The paths that may be deleted: of those that a majority does not list.

        For what to do after a transaction that has been refused: its first attempt may have been done, unheard.
        """
        paths = [file.path for file in files]
        stored = self._files.with_options(read_concern=ReadConcern("majority"))
        listed = {document["_id"] async for document in stored.find({"_id": {"$in": paths}}, {"_id": 1})}
        return [path for path in paths if path not in listed]

    async def add(self, files: Sequence[WarehouseFile], session: AsyncClientSession) -> None:
        """List new files, and mark their dates for the rollups, in the transaction of `session`."""
        if files:
            await self._files.insert_many([file.document() for file in files], session=session)
            await self.mark_dirty({(file.site, file.date) for file in files}, session)

    async def swap(
        self,
        old: Sequence[WarehouseFile],
        new: Sequence[WarehouseFile],
        removed_time: int,
        session: AsyncClientSession,
    ) -> None:
        """List the new files in place of the old ones, in the transaction of `session`. Marks no date.

        The old ones are deleted later (`removed_time`, Unix ms, and a grace period): a query may be reading them.
        Raises SupersededError when one of them is not listed any more: the caller's transaction has to end there.
        """
        if old:
            paths = [file.path for file in old]
            deleted = await self._files.delete_many({"_id": {"$in": paths}}, session=session)
            if deleted.deleted_count != len(old):
                raise SupersededError(
                    f"{len(old) - deleted.deleted_count} of {len(old)} files are not listed any more."
                )
            removed_at = datetime.fromtimestamp(removed_time / 1000, UTC)
            await self._removed.insert_many(
                [{"_id": path, "removed_at": removed_at} for path in paths], session=session
            )
        if new:
            # As old as what is in them: rollups that were made before these were written have seen their events.
            created = max((file.created_time for file in old), default=None)
            listed = [file if created is None else replace(file, created_time=created) for file in new]
            await self._files.insert_many([file.document() for file in listed], session=session)

    async def mark_dirty(self, dates: Iterable[tuple[str, str]], session: AsyncClientSession) -> None:
        """Say that events of these (site, date) came or went. `version` is another one after every mark.

        Who has recomputed a date clears the mark if `version` is still what it was before the events were read.
        """
        now = datetime.now(UTC)
        for site, date in sorted(dates):
            await self._dirty.update_one(
                {"_id": {"site": site, "date": date}},
                {"$set": {"version": uuid4().hex, "marked_at": now}},
                upsert=True,
                session=session,
            )

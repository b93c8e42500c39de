"""The log in MongoDB: one document per frame, written with `w: majority, j: true`. It outlives the loss of a machine.

A document's `_id` is the partition and a dense frame number. A new writer's first act is to take the next number with
an empty frame of a higher epoch: an older writer's next append needs that number, finds it taken and is fenced. No
lock, no lease, no transaction.
"""

import logging
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from bson.binary import Binary
from pymongo import ASCENDING, DESCENDING, MongoClient, ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from pistats.clock import Clock, now_ms
from pistats.errors import CorruptionError, FencedError, UnavailableError
from pistats.settings import StreamSettings
from pistats.stream import frame
from pistats.stream.batch import Fetched
from pistats.stream.frame import FrameHeader, FrameTotals, FrameWriter
from pistats.stream.framed_log import FramedLog
from pistats.stream.log import LogStats, Trimmed
from pistats.stream.position import check_offset

_log = logging.getLogger(__name__)

Document = dict[str, Any]

COLLECTION = "stream"
BY_OFFSET = [("partition", ASCENDING), ("end_offset", ASCENDING), ("bytes", ASCENDING)]
"""Finds an offset, and adds up the bytes of a partition without reading its frames."""
BY_TIME = [("partition", ASCENDING), ("append_time", ASCENDING), ("end_offset", ASCENDING)]
"""The order of the log: append times never step back."""
CONFIRM_TIMEOUT_S = 20.0
"""How long an insert with an unknown outcome is asked after: a failover takes up to 12 s. Then the writer stops."""
CONFIRM_PAUSE_S = 0.1
"""Between two questions; the answer comes with the next primary."""
_FACTS = {"epoch": 1, "first_offset": 1, "end_offset": 1, "append_time": 1, "crc": 1}
LOAD_IDS = 200_000
"""Ids of one run while the dedupe window is rebuilt: large enough to keep the runs few."""
TRIM_FRAMES = 1_000
"""Frames of one delete: some 100 ms, so that an append waits no longer than that."""


class MongoLog(FramedLog):
    """A partition's log in the collection `stream`. Implements `StreamLog`. A trim removes single frames."""

    def __init__(
        self, client: MongoClient[Document], database: str, partition: int, settings: StreamSettings, clock: Clock
    ) -> None:
        """Use `open`: this takes the partition over too. Whoever made the client closes it."""
        self._partition = partition
        self._collection: Collection[Document] = client[database].get_collection(
            COLLECTION,
            write_concern=WriteConcern(w="majority", j=True),
            read_concern=ReadConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )
        self._collection.create_index(BY_OFFSET)
        self._collection.create_index(BY_TIME)
        own = self._take_over(clock())
        super().__init__(partition, settings, clock, own["epoch"])
        self._number, self._last_crc = own["_id"]["number"], own["crc"]
        self._last_append_time = own["append_time"]
        self._end_offset: int = own["end_offset"]
        self._count()
        self._load_dedupe(clock() - settings.dedupe_window_s * 1000)
        self._remember_recent_frames()

    @classmethod
    def open(
        cls,
        client: MongoClient[Document],
        database: str,
        partition: int,
        settings: StreamSettings,
        clock: Clock = now_ms,
    ) -> "MongoLog":
        """Take the partition over from any writer before, with all that was acknowledged.

        Raises UnavailableError when MongoDB is out of reach, CorruptionError when frames are missing or changed.
        """
        try:
            return cls(client, database, partition, settings, clock)
        except PyMongoError as error:
            raise UnavailableError(
                f"partition {partition} cannot be opened in MongoDB, database {database}: {error}"
            ) from error

    # --- taking over

    def _take_over(self, now: int) -> Document:
        """Put an empty frame of the next epoch behind the last one: from then on, older writers are fenced."""
        while True:
            last = self._collection.find_one(self._own_ids(), {"head": 1, **_FACTS}, sort=[("_id", DESCENDING)])
            number, crc, epoch, append_time, end_offset = 0, 0, 0, 0, 0
            totals = FrameTotals()
            if last is not None:
                number, crc, epoch = last["_id"]["number"], last["crc"], last["epoch"]
                append_time, end_offset = last["append_time"], last["end_offset"]
                header = self._header(last)
                totals = FrameTotals(header.duplicates, header.conflicts)
            encoded = FrameWriter(self._partition, epoch + 1).encode(
                previous_crc=crc,
                first_offset=end_offset,
                append_time=max(now, append_time),
                hashes=np.empty(0, dtype=np.uint64),
                keys=[],
                payloads=[],
                batches=[],
                totals=totals,
            )
            document = self._document(number + 1, encoded, self._checked(encoded))
            try:
                self._collection.insert_one(document)
            except DuplicateKeyError:  # an append, or another writer that starts, was faster
                continue
            return document

    def _count(self) -> None:
        """What is there: the first offset, the number of frames, their bytes."""
        first = self._collection.find_one(self._own_ids(), {"first_offset": 1}, sort=[("_id", ASCENDING)])
        self._first_offset: int = first["first_offset"] if first else self._end_offset
        totals = next(
            self._collection.aggregate(
                [
                    {"$match": self._own() | {"end_offset": {"$gte": 0}}},
                    {"$project": {"_id": 0, "bytes": 1}},
                    {"$group": {"_id": None, "frames": {"$sum": 1}, "bytes": {"$sum": "$bytes"}}},
                ]
            ),
            {"frames": 0, "bytes": 0},
        )
        self._frames: int = totals["frames"]
        self._bytes: int = totals["bytes"]

    def _load_dedupe(self, since: int) -> None:
        """Fill the dedupe window from the heads of the frames in it. Raises CorruptionError when one is missing."""
        pieces: list[np.typing.NDArray[np.uint64]] = []
        first_offset = size = oldest = newest = 0
        before: FrameHeader | None = None
        query = self._own() | {"append_time": {"$gte": since}}
        for document in self._collection.find(query, {"head": 1, **_FACTS}).sort(BY_TIME):
            header = self._header(document)
            if before is not None and (header.previous_crc, header.first_offset) != (before.crc, before.end_offset):
                raise CorruptionError(
                    f"partition {self._partition}: frame {document['_id']['number']} does not continue the one "
                    f"before it (offset {before.end_offset}): documents of `{COLLECTION}` are missing or changed"
                )
            if not pieces:
                first_offset, oldest = header.first_offset, header.append_time
            pieces.append(frame.hashes_of(document["head"], header))
            before, size, newest = header, size + header.records, header.append_time
            if size >= LOAD_IDS:
                self._dedupe.load(np.concatenate(pieces), first_offset, oldest, newest)
                pieces, size = [], 0
        if size:
            self._dedupe.load(np.concatenate(pieces), first_offset, oldest, newest)

    # --- appending

    def _prepare(self, now: int) -> None:
        """Nothing: a frame is a document of its own."""

    def _store(self, encoded: bytes, header: FrameHeader) -> None:
        document = self._document(self._number + 1, encoded, header)
        try:
            self._collection.insert_one(document)
        except PyMongoError as error:
            self._settle(document, error)
        self._number += 1
        self._frames, self._bytes = self._frames + 1, self._bytes + len(encoded)
        self._end_offset = header.end_offset

    def _settle(self, document: Document, error: PyMongoError) -> None:
        """Find out what became of an insert. Returns when it is durable, raises when it never will be, or stops."""
        deadline = time.monotonic() + CONFIRM_TIMEOUT_S
        while time.monotonic() < deadline:
            time.sleep(CONFIRM_PAUSE_S)
            try:
                if self._is_stored(document):
                    return
                self._collection.insert_one(document)
            except DuplicateKeyError:
                continue  # ours and not yet held by a majority, or a newer writer's: the question above tells
            except PyMongoError as again:
                error = again
            else:
                return
        raise self._stop(f"MongoDB did not say within {CONFIRM_TIMEOUT_S:.0f} s whether it holds a frame: {error}")

    def _is_stored(self, document: Document) -> bool:
        """Whether a majority holds this very document. Raises FencedError when another one has its number."""
        found = self._collection.find_one({"_id": document["_id"]}, {"epoch": 1, "crc": 1})
        if found is None:
            return False
        if (found["epoch"], found["crc"]) != (document["epoch"], document["crc"]):
            raise self._fenced(document)
        return True

    def _check_epoch(self) -> None:
        try:
            newer = self._collection.find_one(self._own_ids(self._number + 1), {"epoch": 1})
        except PyMongoError as error:
            raise self._stop(f"MongoDB is out of reach: {error}") from error
        if newer is not None:
            raise self._fenced({"_id": newer["_id"]})

    def _fenced(self, document: Document) -> FencedError:
        message = (
            f"epoch {self._epoch} of partition {self._partition} has been taken over: another writer holds frame "
            f"{document['_id']['number']}. This writer stops; ask the new one"
        )
        self._stop(message)
        return FencedError(message)

    # --- reading

    @property
    def first_offset(self) -> int:
        return self._first_offset

    @property
    def end_offset(self) -> int:
        return self._end_offset

    def read(self, offset: int, max_bytes: int) -> Fetched:
        """See `StreamLog.read`. Raises UnavailableError when MongoDB is out of reach."""
        end_offset = self._end_offset
        check_offset(offset, self._first_offset, end_offset)
        frames: list[bytes] = []
        oldest: int | None = None
        size, following = 0, offset
        for document in self._documents_from(offset, end_offset):
            encoded = document["head"] + document["body"]
            if frames and size + len(encoded) > max_bytes:
                break
            if document["first_offset"] > following:
                check_offset(offset, self._first_offset, end_offset)  # trimmed in the meantime
                raise CorruptionError(f"partition {self._partition}: no frame for offset {following} in `{COLLECTION}`")
            frames.append(encoded)
            oldest = document["append_time"] if oldest is None else oldest
            size, following = size + len(encoded), document["end_offset"]
        return Fetched(frames, following, end_offset, oldest)

    def _documents_from(self, offset: int, end_offset: int) -> Iterator[Document]:
        """Frames with records, in order; the cursor fetches some hundred at a time."""
        if offset == end_offset:
            return
        query = self._own() | {"end_offset": {"$gt": offset, "$lte": end_offset}, "records": {"$gt": 0}}
        try:
            with self._collection.find(query).sort(BY_OFFSET[:2]) as cursor:
                yield from cursor
        except PyMongoError as error:
            raise UnavailableError(f"partition {self._partition} cannot be read from MongoDB: {error}") from error

    def offset_at_time(self, append_time: int) -> int:
        """See `StreamLog.offset_at_time`."""
        query = self._own() | {"append_time": {"$gte": append_time}, "records": {"$gt": 0}}
        try:
            found = self._collection.find_one(query, {"first_offset": 1}, sort=BY_TIME)
        except PyMongoError as error:
            raise UnavailableError(f"partition {self._partition} cannot be read from MongoDB: {error}") from error
        return self._end_offset if found is None else min(int(found["first_offset"]), self._end_offset)

    # --- retention, state, end

    def trim(self, floor_offset: int, *, force: bool = False) -> Trimmed:
        """See `StreamLog.trim`. Oldest frames first; the last frame stays, it holds the epoch and the end."""
        self._check_epoch()
        try:
            return self._trim(floor_offset, force=force)
        except PyMongoError as error:
            raise UnavailableError(f"partition {self._partition} cannot be trimmed in MongoDB: {error}") from error

    def _trim(self, floor_offset: int, *, force: bool) -> Trimmed:
        removed = removed_bytes = 0
        while True:
            expired = self._expired()
            free = [one for one in expired if force or one["end_offset"] <= floor_offset]
            if not free:
                return Trimmed(self._first_offset, removed, removed_bytes, len(expired))
            self._first_offset = free[-1]["end_offset"]
            # In the order of the index, so that what an interruption leaves is a log without a hole.
            self._collection.delete_many(self._own_ids(0, free[-1]["_id"]["number"] + 1), hint="_id_")
            size = sum(one["bytes"] for one in free)
            self._frames, self._bytes = self._frames - len(free), self._bytes - size
            removed, removed_bytes = removed + len(free), removed_bytes + size

    def _expired(self) -> list[Document]:
        """The oldest frames that time or size lets go, at most `TRIM_FRAMES` of them."""
        horizon = self._clock() - self._settings.log_retention_s * 1000
        excess = self._bytes - self._settings.log_retention_bytes
        expired = []
        fields = {"end_offset": 1, "append_time": 1, "bytes": 1}
        all_but_last = self._own_ids(0, self._number)
        for document in self._collection.find(all_but_last, fields).sort("_id", ASCENDING).limit(TRIM_FRAMES):
            if document["append_time"] >= horizon and excess <= 0:
                break
            excess -= document["bytes"]
            expired.append(document)
        return expired

    def stats(self) -> LogStats:
        """See `StreamLog.stats`; segments are frames here."""
        totals = self._admission.totals
        has_records = self._end_offset > self._first_offset
        return LogStats(
            epoch=self._epoch,
            first_offset=self._first_offset,
            end_offset=self._end_offset,
            duplicates=totals.duplicates,
            conflicting_duplicates=totals.conflicts,
            segments=self._frames,
            bytes_on_disk=self._bytes,
            oldest_append_time=None,
            last_append_time=self._last_append_time if has_records else None,
            dedupe_ids=len(self._dedupe),
            dedupe_bytes=self._dedupe.memory_bytes,
            indexes_rebuilt=0,
            refusing=None,
            cut_bytes=0,
        )

    def close(self) -> None:
        """See `StreamLog.close`. The client stays open: it is its maker's."""
        self._stopped = self._stopped or "it was closed"

    # --- documents

    def _own(self) -> Document:
        return {"partition": self._partition}

    def _own_ids(self, start: int = 0, end: int | None = None) -> Document:
        """Frame numbers from `start` to before `end`, in a form that the index of `_id` answers."""
        after = {"partition": self._partition + 1, "number": 0} if end is None else self._id(end)
        return {"_id": {"$gte": self._id(start), "$lt": after}}

    def _id(self, number: int) -> Document:
        return {"partition": self._partition, "number": number}

    def _document(self, number: int, encoded: bytes, header: FrameHeader) -> Document:
        return {
            "_id": self._id(number),
            "partition": self._partition,
            "epoch": header.epoch,
            "first_offset": header.first_offset,
            "end_offset": header.end_offset,
            "records": header.records,
            "append_time": header.append_time,
            "crc": header.crc,
            "bytes": len(encoded),
            "head": Binary(encoded[: header.head_end]),
            "body": Binary(encoded[header.head_end :]),
        }

    @staticmethod
    def _checked(encoded: bytes) -> FrameHeader:
        return frame.checked_header(encoded)

    def _header(self, document: Document) -> FrameHeader:
        header = frame.header_at(document["head"])
        fields = ("epoch", "first_offset", "end_offset", "crc")
        if header is None or any(getattr(header, name) != document[name] for name in fields):
            raise CorruptionError(
                f"partition {self._partition}: frame {document['_id']['number']} in `{COLLECTION}` is not what was "
                "written. Restore it from a backup"
            )
        return header

"""How the stream is laid out: how many partitions there are, how many there were, and where each change cut the logs.

A bucket's partition is `bucket % partitions`. The layout has an epoch, raised by every change (`pistats stream
resize`). A change is a consistent cut: every partition is sealed at an offset, and what was stored below these offsets
was stored before the change, everywhere. So a record beyond its partition's cut may be consumed once every partition is
consumed up to the cut: each visitor's events stay in order, wherever the visitor's bucket lives by then.

The document `stream` of the collection `settings` holds it. Only the supervisor publishes a change.
"""

from dataclasses import dataclass
from typing import Any

from pymongo import ReturnDocument
from pymongo.read_concern import ReadConcern

from pistats.errors import FinalError, UnavailableError
from pistats.identity import partition_of
from pistats.mongo.indexes import Database
from pistats.settings import BUCKETS

STREAM = "stream"
READ_TIMEOUT_MS = 5_000
"""A primary that has lost its majority cannot answer; a new one is there after at most 12 s."""


class ResizeError(FinalError):
    """The number of partitions cannot be changed so, or not now."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the number of partitions, published."""

    epoch: int
    """Of the layout that it began."""
    partitions_before: int
    partitions: int
    ends: tuple[int, ...]
    """By partition, of each that there had ever been: the first offset that was stored after the change."""
    time: int
    """Unix ms, not before the last record of the old layout was stored."""

    def cut(self, partition: int) -> int:
        """The first offset of this partition that was stored after the change; 0 for one that came later."""
        return self.ends[partition] if partition < len(self.ends) else 0


@dataclass(frozen=True, slots=True)
class Resizing:
    """A change that was asked for and is not published yet."""

    to: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Topology:
    """The layout in force, its past, and the change under way. Compare epochs to see which of two is newer."""

    partitions: int
    epoch: int = 0
    changes: tuple[Change, ...] = ()
    """Oldest first."""
    resizing: Resizing | None = None

    @property
    def actors(self) -> int:
        """How many partitions have a log: the most there ever were. One out of use is still read to its end."""
        wanted = self.resizing.to if self.resizing is not None else 0
        return max(self.partitions, wanted, *(len(change.ends) for change in self.changes), 1)

    @property
    def sealed_epoch(self) -> int:
        """A partition that starts now stores nothing of a layout below this."""
        return self.epoch if self.resizing is None else self.resizing.epoch

    def partition_of(self, bucket: int) -> int:
        """The bucket's partition now."""
        return partition_of(bucket, self.partitions)

    def former_partitions(self, bucket: int, since_ms: int) -> tuple[int, ...]:
        """The bucket's other homes since then (Unix ms), the latest first."""
        homes = (
            partition_of(bucket, change.partitions_before)
            for change in reversed(self.changes)
            if change.time >= since_ms
        )
        return tuple(dict.fromkeys(home for home in homes if home != self.partition_of(bucket)))

    def moved_buckets(self, since_ms: int) -> dict[int, tuple[int, ...]]:
        """Every bucket that had another home since then (Unix ms), with those homes. Empty when nothing changed."""
        if not self.changes or self.changes[-1].time < since_ms:
            return {}
        former = {bucket: self.former_partitions(bucket, since_ms) for bucket in range(BUCKETS)}
        return {bucket: homes for bucket, homes in former.items() if homes}

    def barriers(self, partition: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """(offset, ends) in order: records from `offset` on wait until every partition is consumed up to `ends`."""
        return tuple((change.cut(partition), change.ends) for change in self.changes)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Topology":
        """Read what is stored, also by a version that knew the number of partitions only."""
        resizing = document.get("resizing")
        changes = (
            Change(one["epoch"], one["partitions_before"], one["partitions"], tuple(one["ends"]), one["time"])
            for one in document.get("changes", ())
        )
        return cls(
            int(document["partitions"]),
            int(document.get("epoch", 0)),
            tuple(changes),
            None if resizing is None else Resizing(resizing["to"], resizing["epoch"]),
        )


async def settle_topology(database: Database, wanted: int) -> Topology:
    """The system's layout: `wanted` partitions at its first start, what was settled or changed since ever after.

    `database`: the system database. May be repeated, and by several at once.
    """
    await database["settings"].update_one(
        {"_id": STREAM},
        {"$setOnInsert": {"partitions": wanted, "epoch": 0, "changes": [], "resizing": None}},
        upsert=True,
    )
    return await load_topology(database)


async def load_topology(database: Database, *, newest: bool = False) -> Topology:
    """The layout as a majority holds it. `newest`: no older than what anyone was told before this call.

    An older one is always safe to store by, because partitions refuse it. Raises UnavailableError when none was
    settled.
    """
    concern = ReadConcern("linearizable" if newest else "majority")
    settings = database.get_collection("settings", read_concern=concern)
    document = await settings.find_one({"_id": STREAM}, max_time_ms=READ_TIMEOUT_MS)
    if document is None:
        raise UnavailableError(f"{database.name} has no stream yet: start the system once.")
    return Topology.from_document(document)


async def request_resize(database: Database, to: int) -> Topology:
    """Ask for `to` partitions; the supervisor carries it out. The topology with the request in it, or as it was.

    May be repeated: the same change under way is joined, and as many partitions as there are is no change. Raises
    ResizeError while another change is under way, and for a number that there cannot be.
    """
    if not 1 <= to <= BUCKETS:
        raise ResizeError(f"A stream has 1 to {BUCKETS} partitions, not {to}.")
    while True:
        known = await load_topology(database, newest=True)
        if known.resizing is not None:
            if known.resizing.to == to:
                return known
            raise ResizeError(
                f"The stream is being resized to {known.resizing.to} partitions: wait until that is done."
            )
        if known.partitions == to:
            return known
        document = await database["settings"].find_one_and_update(
            {"_id": STREAM, "resizing": None, "epoch": _stored(known.epoch)},
            {"$set": {"resizing": {"to": to, "epoch": known.epoch + 1}}},
            return_document=ReturnDocument.AFTER,
        )
        if document is not None:
            return Topology.from_document(document)


async def publish_resize(database: Database, resizing: Resizing, before: int, ends: list[int], now: int) -> bool:
    """Put the change into force, with the offsets at which every partition was sealed. Whether this call did it.

    `before`: the number of partitions until now. May be repeated, and by several at once: the first one counts.
    """
    change = {
        "epoch": resizing.epoch,
        "partitions_before": before,
        "partitions": resizing.to,
        "ends": ends,
        "time": now,
    }
    result = await database["settings"].update_one(
        {"_id": STREAM, "epoch": _stored(resizing.epoch - 1), "resizing.epoch": resizing.epoch},
        {
            "$set": {"partitions": resizing.to, "epoch": resizing.epoch, "resizing": None},
            "$push": {"changes": change},
        },
    )
    return result.modified_count == 1


def _stored(epoch: int) -> Any:
    """Matches this epoch; a document without one is of epoch 0."""
    return epoch if epoch else {"$in": [0, None]}

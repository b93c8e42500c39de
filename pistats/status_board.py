"""What the logs say of themselves, for readers without Ray: posted every two seconds, while someone looks.

`system_status` in the system database has two documents: `wanted` (`until`, by MongoDB's clock), which readers move,
and `logs` (`posted_at`, `partitions`), which the supervisor writes. Nobody looks: one tiny read every two seconds.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pistats.mongo.indexes import Database
from pistats.stream.partition import PartitionStatus

POST_INTERVAL_S = 2.0
"""Between two posts: as often as people notice."""
WANTED_MS = 10_000
"""How long one look keeps the posts coming."""
FRESH_MS = 15_000
"""An older post says nothing about now: the supervisor is away."""

Logs = Sequence[PartitionStatus | None]


@dataclass(frozen=True, slots=True)
class Posted:
    """The logs by partition as of `age_ms` ago; None for one that did not answer."""

    logs: tuple[PartitionStatus | None, ...]
    age_ms: int

    @property
    def fresh(self) -> bool:
        """Whether it says how things are now."""
        return self.age_ms <= FRESH_MS


class StatusBoard:
    """Both sides of the board: readers `look`, the supervisor posts while it is `wanted`."""

    def __init__(self, system: Database) -> None:
        self._board = system["system_status"]

    async def look(self) -> Posted | None:
        """The newest post, and the wish for more. None: there has never been one."""
        await self._board.update_one({"_id": "wanted"}, [{"$set": {"until": _in_ms(WANTED_MS)}}], upsert=True)
        age = {"$dateDiff": {"startDate": "$posted_at", "endDate": "$$NOW", "unit": "millisecond"}}
        cursor = await self._board.aggregate([{"$match": {"_id": "logs"}}, {"$set": {"age_ms": age}}])
        async for document in cursor:
            logs = tuple(_status(one) for one in document["partitions"])
            return Posted(logs, max(0, int(document["age_ms"])))
        return None

    async def wanted(self) -> bool:
        """Whether someone has looked lately."""
        found = await self._board.find_one({"_id": "wanted", "$expr": {"$gt": ["$until", "$$NOW"]}}, {"_id": 1})
        return found is not None

    async def post(self, logs: Logs) -> None:
        """Replaces the post before."""
        partitions = {"$literal": [None if one is None else asdict(one) for one in logs]}
        change = [{"$set": {"partitions": partitions, "posted_at": "$$NOW"}}]
        await self._board.update_one({"_id": "logs"}, change, upsert=True)


def _in_ms(ms: int) -> dict[str, Any]:
    return {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": ms}}


def _status(document: dict[str, Any] | None) -> PartitionStatus | None:
    """None, too, for a post of another version."""
    if document is None or set(document) != set(PartitionStatus.__slots__):
        return None
    return PartitionStatus(**document)

"""How far consumers have come."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pistats.mongo.indexes import Database


async def slowest_checkpoints(groups: Sequence[Database], partitions: int) -> dict[int, int]:
    """The next offset to consume of each partition, of the group that is furthest behind; 0 when one hasn't begun.

    `groups`: the databases of all consumer groups. Records below these offsets are needed by nobody.
    """
    slowest: dict[int, int] = {}
    for group in groups:
        stored = {
            document["_id"]: document["offset"] or 0 async for document in group["partitions"].find({}, {"offset": 1})
        }
        for partition in range(partitions):
            offset = int(stored.get(partition, 0))
            slowest[partition] = min(slowest.get(partition, offset), offset)
    return slowest


async def lag_s(group: Database) -> float:
    """Age of the oldest record that the group can still have to consume, over all partitions; 0 when it keeps up."""
    server = await group.client.admin.command("hello")
    now = server["localTime"].replace(tzinfo=UTC)
    fields = {"caught_up": 1, "checked_at": 1, "append_time": 1}
    return max([waiting_s(document, now) async for document in group["partitions"].find({}, fields)], default=0.0)


async def has_begun(group: Database) -> bool:
    """Whether the group's start is settled in every partition that its consumers know."""
    offsets = [document.get("offset") async for document in group["partitions"].find({}, {"offset": 1})]
    return bool(offsets) and None not in offsets


def waiting_s(checkpoint: Mapping[str, Any], now: datetime) -> float:
    """Nothing consumed that was appended after the last look: that is how old the oldest waiting record can be.

    `now` by MongoDB's clock, which wrote the checkpoint.
    """
    looked = checkpoint.get("checked_at") if checkpoint.get("caught_up") else None
    if looked is not None:
        return max(0.0, float((now - looked).total_seconds()))
    consumed = checkpoint.get("append_time")
    return max(0.0, now.timestamp() - consumed / 1000) if consumed is not None else 0.0

"""How far consumers have come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pistats.consumer.groups import Group
from pistats.mongo.indexes import Database
from pistats.topology import Topology

ALIVE = {"$expr": {"$gt": ["$expires_at", "$$NOW"]}}
"""Matches members that have said so within a lease."""

UNSETTLED_S = 3_600.0
"""How long a shadow group that has not begun holds back the log: consumers begin within seconds, or never, because the
group's start cannot be found. It would fill the disk."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a group gets on. `lag_s` is None before it has begun; `error`: what its consumers cannot get past now."""

    lag_s: float | None
    error: str | None


async def standing(group: Database) -> Standing:
    """How the group with this database gets on."""
    alive = group["members"].find(ALIVE, {"errors": 1})
    errors = {partition: error async for member in alive for partition, error in member.get("errors", {}).items()}
    said = "; ".join(f"partition {partition}: {error}" for partition, error in sorted(errors.items()))
    return Standing(await lag_s(group) if await has_begun(group) else None, said or None)


def trouble_of(group: Group, stands: Standing) -> str | None:
    """What is wrong with the group, to be read behind its name, and what to do; None: nothing is."""
    if stands.error is None:
        return None
    if stands.lag_s is not None or group.state == "live":
        return f"cannot go on: {stands.error}"
    return (
        f"cannot begin at {group.start_position}: {stands.error} It holds back the log's retention for an hour at "
        f"most. Drop it (pistats group drop {group.name}), and begin where there are records: `trim-horizon`."
    )


def holds_unsettled(group: Group, topology: Topology, now_ms: int) -> bool:
    """Whether the group still needs everything in partitions where its start is not settled. The live one always does.

    A change of the layout gives it an hour again: the partitions that it made are new.
    """
    since = max([group.created_time, *(change.time for change in topology.changes[-1:])])
    return group.state == "live" or now_ms - since < UNSETTLED_S * 1000


async def slowest_checkpoints(groups: Sequence[tuple[Database, bool]], partitions: int) -> dict[int, int]:
    """The next offset to consume of each partition, of the group that is furthest behind. Nobody needs what is below.

    `groups`: the databases of all consumer groups, and whether each holds back what it hasn't begun to consume; then
    that counts as 0, else it is left out. A partition that is left out of all is not in the answer.
    """
    slowest: dict[int, int] = {}
    for group, holds in groups:
        stored = {document["_id"]: document["offset"] async for document in group["partitions"].find({}, {"offset": 1})}
        for partition in range(partitions):
            offset = stored.get(partition)
            if offset is not None or holds:
                slowest[partition] = min(slowest.get(partition, offset or 0), offset or 0)
    return slowest


async def lag_s(group: Database) -> float:
    """Age of the oldest record that the group can still have to consume, over all partitions; 0 when it keeps up."""
    server = await group.client.admin.command("hello")
    now = server["localTime"].replace(tzinfo=UTC)
    fields = {"caught_up": 1, "checked_at": 1, "append_time": 1}
    return max([waiting_s(document, now) async for document in group["partitions"].find({}, fields)], default=0.0)


async def living(group: Database) -> int:
    """How many of the group's members are alive."""
    return await group["members"].count_documents(ALIVE)


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

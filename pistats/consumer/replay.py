"""How far a group has come on its way through the log."""

from collections.abc import Mapping
from dataclasses import dataclass

from pistats.mongo.indexes import Database


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """Records of all partitions, from the group's start to the ends that were asked about."""

    done: int
    total: int
    finished: bool
    """Every partition has been consumed to its end, the empty ones too."""


async def replay_progress(group: Database, starts: Mapping[int, int], ends: Mapping[int, int]) -> ReplayProgress:
    """Where the group stands. `starts`, `ends`: offsets by partition; `starts` where the group hasn't begun yet."""
    fields = {"offset": 1, "start_offset": 1}
    stored = {document["_id"]: document async for document in group["partitions"].find({}, fields)}
    done = total = 0
    finished = True
    for partition, end in ends.items():
        checkpoint = stored.get(partition, {})
        start = checkpoint.get("start_offset")
        start = starts.get(partition, 0) if start is None else start
        offset = checkpoint.get("offset")
        finished = finished and offset is not None and offset >= end
        total += max(0, end - start)
        done += max(0, min(offset or 0, end) - start)
    return ReplayProgress(min(done, total), total, finished)

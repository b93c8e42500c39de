"""The Ray actor that owns one stream partition."""

import asyncio
import logging
import os

from pymongo.errors import PyMongoError

from actors.logs import log_to_ray
from pistats.clock import now_ms
from pistats.errors import CorruptionError, UnavailableError
from pistats.mongo.client import connect, connect_blocking
from pistats.settings import Settings
from pistats.stream.batch import Appended, Batch, Fetched
from pistats.stream.file_log import FileLog
from pistats.stream.log import StreamLog, Trimmed
from pistats.stream.mongo_log import MongoLog
from pistats.stream.partition import DamagedPartition, PartitionStatus, StreamPartition
from pistats.topology import load_topology

CALLS = 1_000
"""Calls under way at once: appends, which share group commits, and long polls, one per consumer group and reader.

All in one event loop. Ray's concurrency groups give each group of an async actor a loop in a thread of its own: an
append would not wake a `fetch` that waits in another loop, and nothing in `StreamPartition` is made for threads.
"""
TOPOLOGY_PAUSE_S = 0.5
"""Between two attempts to read the topology from a MongoDB that is away."""
LOG_STOPPED_EXIT = 74
"""Exit code (EX_IOERR) when the log is in doubt. Ray starts the actor again, which recovers from what is on disk."""

log = logging.getLogger(__name__)


class PartitionActor:
    """One partition: durable appends and long-poll reads. A second one on the same partition fences the first."""

    async def __init__(self, partition: int, settings: Settings, mongodb_uri: str) -> None:  # type: ignore[misc]
        log_to_ray()
        self._partition: StreamPartition | DamagedPartition
        try:
            stored = await asyncio.to_thread(_open_log, partition, settings, mongodb_uri)
        except CorruptionError as error:
            # Stay, and say so: a new process would find the same, again and again.
            log.exception("partition %d is damaged and takes nothing", partition)
            self._partition = DamagedPartition(partition, settings.stream.log, str(error))
            return
        # After the log is ours: a seal that we don't read of here finds the former owner fenced.
        layout = await _layout(settings, mongodb_uri)
        self._partition = StreamPartition(partition, stored, settings.stream, now_ms, layout)
        self._end = asyncio.create_task(self._end_when_stopped(self._partition))

    async def append(self, batch: Batch) -> Appended:
        """Durable when it returns. See `StreamPartition.append`."""
        return await self._partition.append(batch)

    async def fetch(self, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        """Frames from `offset` on; waits up to `wait_s` for the first. See `StreamPartition.fetch`."""
        return await self._partition.fetch(offset, max_bytes, wait_s)

    async def resolve(self, position: str) -> int:
        """The offset that a position names now. Raises PositionError."""
        return await self._partition.resolve(position)

    async def seal(self, layout: int) -> int:
        """Store nothing of an earlier layout any more; the end of the log then. See `StreamPartition.seal`."""
        return await self._partition.seal(layout)

    async def status(self) -> PartitionStatus:
        """The partition in numbers."""
        return self._partition.status()

    async def trim(self, floor_offset: int, force: bool) -> Trimmed:
        """Remove what the retention lets go below `floor_offset`, the slowest checkpoint, unless forced."""
        return await self._partition.trim(floor_offset, force=force)

    async def _end_when_stopped(self, partition: StreamPartition) -> None:
        """A log in doubt is not argued with: end the process, so that the next one reads what is really there."""
        await partition.stopped.wait()
        log.error("ending this process: %s", partition.status().stopped_reason)
        await asyncio.sleep(0.1)  # the callers get their answers first
        os._exit(LOG_STOPPED_EXIT)


async def _layout(settings: Settings, mongodb_uri: str) -> int:
    """The layout to keep to. Waits for MongoDB: without knowing it, a record could be stored twice."""
    client = connect(mongodb_uri)
    try:
        while True:
            try:
                return (await load_topology(client[settings.database()], newest=True)).sealed_epoch
            except (PyMongoError, UnavailableError) as error:
                log.warning("waiting for the topology: %s", error)
                await asyncio.sleep(TOPOLOGY_PAUSE_S)
    finally:
        await client.close()


def _open_log(partition: int, settings: Settings, mongodb_uri: str) -> StreamLog:
    """The log that the settings name, taken over from any writer before. Blocking: it recovers."""
    if settings.stream.log == "mongo":
        return MongoLog.open(connect_blocking(mongodb_uri), settings.database(), partition, settings.stream)
    return FileLog.open(settings.data / "stream" / f"partition-{partition:03d}", partition, settings.stream)

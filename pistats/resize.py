"""Carries out a change of the number of partitions, while events flow. Any step may be repeated after any death.

Every log is sealed, the old ones, the new ones and those out of use: from then on nothing of the old layout is stored
anywhere, and nothing of the new one before it is published. So the ends that the seals give are one cut through all.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from pistats.clock import Clock, now_ms
from pistats.errors import UnavailableError
from pistats.mongo.indexes import Database
from pistats.stream.partition import PartitionStatus
from pistats.topology import Topology, publish_resize


class Sealable(Protocol):
    """What a change needs of a partition."""

    async def status(self) -> PartitionStatus:
        """See `StreamPartition.status`."""

    async def seal(self, layout: int) -> int:
        """See `StreamPartition.seal`."""


async def carry_out(
    database: Database, topology: Topology, partition: Callable[[int], Sealable], clock: Clock = now_ms
) -> bool:
    """Seal and publish the change that `topology` says was asked for. Whether this call published it.

    Raises UnavailableError when a partition doesn't answer or can store nothing: try again. Events are taken meanwhile,
    unless a partition dies between its sign of life and its seal: then they wait for it.
    """
    if topology.resizing is None:
        return False
    partitions = [partition(number) for number in range(topology.actors)]
    # Between the first seal and the publication ingest waits, so begin when all of them are there.
    for status in await asyncio.gather(*(one.status() for one in partitions)):
        if status.state != "open":
            raise UnavailableError(f"partition {status.partition} is {status.state}: the resize waits for it")
    ends = await asyncio.gather(*(one.seal(topology.resizing.epoch) for one in partitions))
    return await publish_resize(database, topology.resizing, topology.partitions, ends, clock())

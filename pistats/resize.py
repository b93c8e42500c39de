"""Carries out a change of the number of partitions, while events flow. Any step may be repeated after any death.

Every log is sealed, the old ones, the new ones and those out of use: from then on nothing of the old layout is stored
anywhere, and nothing of the new one before it is published. So the ends that the seals give are one cut through all.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from pistats.clock import Clock, now_ms
from pistats.mongo.indexes import Database
from pistats.topology import Topology, publish_resize


class Sealable(Protocol):
    """What a change needs of a partition."""

    async def status(self) -> object:
        """Anything, as a sign of life."""

    async def seal(self, layout: int) -> int:
        """See `StreamPartition.seal`."""


async def carry_out(
    database: Database, topology: Topology, partition: Callable[[int], Sealable], clock: Clock = now_ms
) -> bool:
    """Seal and publish the change that `topology` says was asked for. Whether this call published it.

    Raises what a partition raises that doesn't answer: try again. Then either nothing is sealed, or ingest waits.
    """
    if topology.resizing is None:
        return False
    partitions = [partition(number) for number in range(topology.actors)]
    # Between the first seal and the publication ingest waits, so begin when all of them are there.
    await asyncio.gather(*(one.status() for one in partitions))
    ends = await asyncio.gather(*(one.seal(topology.resizing.epoch) for one in partitions))
    return await publish_resize(database, topology.resizing, topology.partitions, ends, clock())

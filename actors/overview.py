"""Asks every part of a running system how it is."""

import asyncio
from typing import Any

from pymongo import AsyncMongoClient

from actors.partition_client import PartitionClient
from pistats.errors import PistatsError
from pistats.settings import Settings
from pistats.status import SystemReport
from pistats.stream.partition import PartitionStatus
from pistats.system_overview import system_overview
from pistats.topology import settle_topology


async def overview(client: AsyncMongoClient[dict[str, Any]], settings: Settings) -> SystemReport:
    """The report of the whole system; a part that doesn't answer is part of it. Raises when MongoDB is away."""
    topology = await settle_topology(client[settings.database()], settings.stream.partitions)
    return await system_overview(client, settings, await partition_statuses(topology.actors))


async def partition_statuses(partitions: int) -> list[PartitionStatus | None]:
    """What each log says of itself; None for one that doesn't answer."""
    return list(await asyncio.gather(*(_status(partition) for partition in range(partitions))))


async def _status(partition: int) -> PartitionStatus | None:
    try:
        return await PartitionClient(partition).status()
    except PistatsError:
        return None

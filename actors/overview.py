"""Asks every part of a running system how it is."""

import asyncio
from datetime import UTC
from typing import Any

from pymongo import AsyncMongoClient

from actors.partition_client import PartitionClient
from pistats.consumer.groups import reader_group
from pistats.errors import PistatsError
from pistats.jobs.failing import failing_jobs
from pistats.ledger import read_ledger
from pistats.settings import Settings
from pistats.status import SystemReport, system_report
from pistats.stream.partition import PartitionStatus
from pistats.topology import settle_topology


async def overview(client: AsyncMongoClient[dict[str, Any]], settings: Settings) -> SystemReport:
    """The report of the whole system; a part that doesn't answer is part of it. Raises when MongoDB is away."""
    system = client[settings.database()]
    topology = await settle_topology(system, settings.stream.partitions)
    logs = await asyncio.gather(*(_status(partition) for partition in range(topology.actors)))
    name = await reader_group(system, settings)
    group = client[settings.database(name)]
    checkpoints = {document["_id"]: document async for document in group["partitions"].find()}
    members = [document async for document in group["members"].find().sort("_id")]
    server = await client.admin.command("hello")
    now = server["localTime"].replace(tzinfo=UTC)
    ledger = await read_ledger(group, int(now.timestamp() * 1000))
    return system_report(name, logs, checkpoints, members, now, ledger, await failing_jobs(system))


async def _status(partition: int) -> PartitionStatus | None:
    try:
        return await PartitionClient(partition).status()
    except PistatsError:
        return None

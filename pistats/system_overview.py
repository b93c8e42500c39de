"""Reads what MongoDB knows of the system and brings it together with what the logs say of themselves."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from pymongo import AsyncMongoClient

from pistats.consumer.checkpoints import standing, trouble_of
from pistats.consumer.groups import Groups, reader_group
from pistats.consumer.requests import Requests
from pistats.jobs.failing import failing_jobs
from pistats.ledger import read_ledger
from pistats.mongo.indexes import Database
from pistats.settings import Settings
from pistats.status import SystemReport, system_report
from pistats.stream.partition import PartitionStatus

MAX_ASIDE = 3
"""Requests that are named; one fault is often behind all of them."""


async def system_overview(
    client: AsyncMongoClient[dict[str, Any]], settings: Settings, logs: Sequence[PartitionStatus | None]
) -> SystemReport:
    """The report of the whole system, of the group that the readers show. Raises when MongoDB is away."""
    system = client[settings.database()]
    name = await reader_group(system, settings)
    group = client[settings.database(name)]
    checkpoints = {document["_id"]: document async for document in group["partitions"].find()}
    members = [document async for document in group["members"].find().sort("_id")]
    server = await client.admin.command("hello")
    now = server["localTime"].replace(tzinfo=UTC)
    ledger = await read_ledger(group, int(now.timestamp() * 1000))
    failing = [
        *await failing_jobs(system),
        *await _shadows_in_trouble(Groups(system, settings)),
        *await _put_aside(group),
    ]
    return system_report(name, logs, checkpoints, members, now, ledger, failing)


async def _put_aside(group: Database) -> list[str]:
    """What was asked of a partition's owner and cannot be done: a visitor who is not erased, an import not counted."""
    return [
        f"partition {one['was']}: the request {one['kind']} was put aside: {one['error']}"
        for one in await Requests(group).aside(MAX_ASIDE)
    ]


async def _shadows_in_trouble(groups: Groups) -> list[str]:
    """What is to be said of groups beside the shown one that cannot begin."""
    found = []
    for group in await groups.list():
        if group.state == "shadow":
            stands = await standing(groups.database(group.name))
            trouble = trouble_of(group, stands) if stands.lag_s is None else None
            if trouble is not None:
                found.append(f"the group {group.name} {trouble}")
    return found

"""Puts piStats on a Ray cluster that this process has joined: the same steps on one machine and on many."""

import asyncio
import time

from pymongo import AsyncMongoClient
from ray.exceptions import RayError

from actors.partition_client import PartitionClient
from actors.supervisor import create_supervisor
from pistats.consumer.groups import Groups
from pistats.errors import ConfigurationError, UnavailableError
from pistats.mongo.client import Document, connect
from pistats.mongo.indexes import ensure_system_indexes
from pistats.settings import Settings
from pistats.topology import Topology, settle_topology
from serve_app.deployment import deploy_ingest, deploy_query

PARTITIONS_TIMEOUT_S = 120.0
"""A partition's first answer: a process start, and recovery of its log."""
POLL_S = 0.2


def deploy_system(settings: Settings, mongodb_uri: str) -> int:
    """Collections, actors and Serve apps, each created when missing. Returns the number of partitions.

    Idempotent: a second call changes nothing that runs, but brings the Serve app to this version and these settings.
    Raises UnavailableError when Serve doesn't start, or a partition doesn't answer in two minutes.
    """
    topology = asyncio.run(_prepare(settings, mongodb_uri))
    create_supervisor(settings, mongodb_uri, topology)
    _serve(settings, mongodb_uri, topology)
    asyncio.run(_wait_for(topology.actors))
    return topology.partitions


async def _prepare(settings: Settings, mongodb_uri: str) -> Topology:
    client = connect(mongodb_uri)
    try:
        await _check_replica_set(client)
        system = client[settings.database()]
        await ensure_system_indexes(system)
        await Groups(system, settings).settle()
        return await settle_topology(system, settings.stream.partitions)
    finally:
        await client.close()


def _serve(settings: Settings, mongodb_uri: str, topology: Topology) -> None:
    try:
        deploy_ingest(settings, mongodb_uri, topology)
        deploy_query(settings, mongodb_uri)
    except (RayError, RuntimeError, TimeoutError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UnavailableError(
            f"Ray Serve doesn't start ({reason}). Its logs are in `serve` beside Ray's own; start again, which repeats "
            "nothing that succeeded."
        ) from error


async def _check_replica_set(client: AsyncMongoClient[Document]) -> None:
    hello = await client.admin.command("hello")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise ConfigurationError(
            "This MongoDB is a standalone server: transactions and change streams need a replica set, of one member at "
            "least. Start it with --replSet rs0 and run rs.initiate(), or leave --mongodb-uri out to use our own."
        )


async def _wait_for(partitions: int) -> None:
    deadline = time.monotonic() + PARTITIONS_TIMEOUT_S
    for partition in range(partitions):
        client = PartitionClient(partition)
        while True:
            try:
                await client.status()
                break
            except UnavailableError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(POLL_S)

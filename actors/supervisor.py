"""The actor that keeps the others there: it creates partitions and consumers, and heals them, again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from pymongo.errors import PyMongoError

from actors.handles import create_partition, detached, find
from actors.logs import log_to_ray
from actors.names import SUPERVISOR, partition_name
from actors.overview import partition_statuses
from actors.partition_client import PartitionClient
from actors.pools import ConsumerPools
from actors.schedule import TICK_S, scheduler
from pistats.clock import now_ms
from pistats.consumer.checkpoints import holds_unsettled, slowest_checkpoints
from pistats.consumer.groups import Groups
from pistats.errors import PistatsError
from pistats.mongo.client import connect
from pistats.resize import carry_out
from pistats.settings import Settings
from pistats.status_board import POST_INTERVAL_S, StatusBoard
from pistats.topology import Topology, load_topology
from pistats.topology_cache import TopologyCache

TRIM_INTERVAL_S = 60.0
"""Between two looks for log segments past their retention, which are removed whole: an hour of them is a few files."""
RESIZE_INTERVAL_S = 0.5
"""How long a change that the supervisor knows of waits; also between two attempts."""
HEAL_INTERVAL_S = 3.0
"""How long a missing actor may go unnoticed. Ray restarts one that merely died; this is for those that are gone."""

log = logging.getLogger(__name__)


class SupervisorActor:
    """Idempotent: what is there already is left alone, and a second supervisor changes nothing."""

    async def __init__(self, settings: Settings, mongodb_uri: str, topology: Topology) -> None:  # type: ignore[misc]
        log_to_ray()
        self._settings = settings
        self._mongodb_uri = mongodb_uri
        self._system = connect(mongodb_uri)[settings.database()]
        self._board = StatusBoard(self._system)
        self._groups = Groups(self._system, settings)
        self._pools = ConsumerPools(self._groups, settings, mongodb_uri)
        self._topology = TopologyCache(
            lambda: load_topology(self._system, newest=True), topology, glance=lambda: load_topology(self._system)
        )
        self._draining = False
        await self._heal()
        self._tasks = [
            asyncio.create_task(self._repeat(self._heal, HEAL_INTERVAL_S)),
            asyncio.create_task(self._repeat(self._resize, RESIZE_INTERVAL_S)),
            asyncio.create_task(self._repeat(self._trim, TRIM_INTERVAL_S)),
            asyncio.create_task(self._repeat(self._post_status, POST_INTERVAL_S)),
        ]
        if settings.jobs.scheduled:
            schedule = scheduler(settings, mongodb_uri, self._system)
            self._tasks.append(asyncio.create_task(self._repeat(schedule.tick, TICK_S)))

    async def drain(self) -> None:
        """Let consumers commit what they hold and give their leases back; then start none again."""
        self._draining = True
        await self._pools.stop()

    async def _repeat(self, work: Callable[[], Awaitable[None]], interval_s: float) -> None:
        while not self._draining:
            await asyncio.sleep(interval_s)
            try:
                await work()
            except Exception:
                log.exception("%s failed; trying again in %s s", work.__name__, interval_s)

    async def _heal(self) -> None:
        """Create every actor that should be there and isn't."""
        topology = await self._present_topology()
        for partition in range(topology.actors):
            if find(partition_name(partition)) is None:
                create_partition(partition, self._settings, self._mongodb_uri)
        await self._pools.heal(topology)

    async def _resize(self) -> None:
        """Carry out the change of the number of partitions that was asked for, if any."""
        topology = self._topology.known  # at most `HEAL_INTERVAL_S` old: the actors that it needs have been made
        if await carry_out(self._system, topology, PartitionClient):
            log.info("resized from %d partitions: %s", topology.partitions, await self._topology.refresh())

    async def _post_status(self) -> None:
        """Say how the logs are, for readers without Ray, while there is one."""
        if await self._board.wanted():
            await self._board.post(await partition_statuses(self._topology.known.actors))

    async def _present_topology(self) -> Topology:
        """What MongoDB says, or what it said when it still answered: actors are healed without it too."""
        try:
            return await self._topology.look()
        except PyMongoError as error:
            log.warning("the topology cannot be loaded, the last known one stays in use: %s", error)
            return self._topology.known

    async def _trim(self) -> None:
        """Let go of records past their retention that every consumer group has consumed."""
        topology, now = self._topology.known, now_ms()
        groups = [
            (self._groups.database(group.name), holds_unsettled(group, topology, now))
            for group in await self._groups.list()
            if group.is_consumed
        ]
        for partition, floor_offset in (await slowest_checkpoints(groups, topology.actors)).items():
            try:
                await PartitionClient(partition).trim(floor_offset, force=self._settings.stream.trim_unconsumed)
            except PistatsError as error:
                log.warning("partition %d cannot be trimmed now: %s", partition, error)


def create_supervisor(settings: Settings, mongodb_uri: str, topology: Topology) -> Any:
    """Start the supervisor of this cluster, or find the one that runs."""
    actor = ray.remote(**detached(SUPERVISOR))(SupervisorActor)
    return actor.remote(settings, mongodb_uri, topology)

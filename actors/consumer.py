"""The Ray actor that is one member of a consumer group's pool."""

import asyncio

from actors.logs import log_to_ray
from actors.partition_client import PartitionClient
from pistats.consumer.barrier import Barriers
from pistats.consumer.poison import Danger
from pistats.consumer.pool import GroupMember
from pistats.consumer.transform import Transform
from pistats.consumer.worker import PartitionConsumer
from pistats.mongo.client import connect
from pistats.settings import Settings
from pistats.stream.batch import Fetched
from pistats.topology import Topology, load_topology
from pistats.topology_cache import TopologyCache


class ConsumerActor:
    """Consumes its fair share of the partitions from its creation on, also after a restart by Ray."""

    async def __init__(self, name: str, settings: Settings, mongodb_uri: str, topology: Topology) -> None:  # type: ignore[misc]
        log_to_ray()
        self._settings = settings
        client = connect(mongodb_uri)
        self._system = system = client[settings.database()]
        self._group = client[settings.database(settings.consumers.group)]
        self._topology = TopologyCache(lambda: load_topology(system, newest=True), topology)
        self._partitions: dict[int, PartitionClient] = {}
        danger = Danger(settings.consumers.step_timeout_s, settings.data / "consumers" / f"{name}.txt")
        self._transform = Transform(geoip_db=settings.geoip_db, danger=danger)
        self._member = GroupMember(
            name,
            lambda: self._topology.known.actors,
            database=self._group,
            lease_s=settings.consumers.lease_s,
            make=self._worker,
        )
        self._topology.start()
        self._task = asyncio.create_task(self._member.run())

    async def stop(self) -> None:
        """Commit what is held, hand over every partition, and end."""
        self._member.stop()
        await self._task

    def _worker(self, partition: int, owner: str) -> PartitionConsumer:
        barriers = Barriers(partition, self._group, self._topology)
        return PartitionConsumer(
            partition,
            owner,
            fetch=self._fetch,
            database=self._group,
            consumers=self._settings.consumers,
            live=self._settings.live,
            transform=self._transform,
            start=self._start,
            hold=barriers.held_from,
            cuts_passed=lambda: barriers.passed,
            system=self._system,
        )

    async def _start(self, partition: int) -> int:
        """Where a group that has consumed nothing begins."""
        return await self._client(partition).resolve(self._settings.consumers.start_position)

    async def _fetch(self, partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        return await self._client(partition).fetch(offset, max_bytes, wait_s)

    def _client(self, partition: int) -> PartitionClient:
        return self._partitions.setdefault(partition, PartitionClient(partition))

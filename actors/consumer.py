"""The Ray actor that is one member of a consumer group's pool."""

import asyncio

from actors.logs import log_to_ray
from actors.partition_client import PartitionClient
from pistats.consumer.pool import GroupMember, MemberStatus
from pistats.consumer.transform import Transform
from pistats.consumer.worker import PartitionConsumer
from pistats.mongo.client import connect
from pistats.settings import Settings
from pistats.stream.batch import Fetched


class ConsumerActor:
    """Consumes its fair share of the partitions from its creation on, also after a restart by Ray."""

    async def __init__(self, name: str, settings: Settings, mongodb_uri: str, partitions: int) -> None:  # type: ignore[misc]
        log_to_ray()
        self._settings = settings
        self._group = connect(mongodb_uri)[settings.database(settings.consumers.group)]
        self._partitions = [PartitionClient(partition) for partition in range(partitions)]
        self._transform = Transform(geoip_db=settings.geoip_db)
        self._member = GroupMember(
            name, partitions, database=self._group, lease_s=settings.consumers.lease_s, make=self._worker
        )
        self._task = asyncio.create_task(self._member.run())

    async def status(self) -> MemberStatus:
        return self._member.status

    async def stop(self) -> None:
        """Commit what is held, hand over every partition, and end."""
        self._member.stop()
        await self._task

    def _worker(self, partition: int, owner: str) -> PartitionConsumer:
        return PartitionConsumer(
            partition,
            owner,
            fetch=self._fetch,
            database=self._group,
            consumers=self._settings.consumers,
            live=self._settings.live,
            transform=self._transform,
            start=self._start,
        )

    async def _start(self, partition: int) -> int:
        """A group that has consumed nothing begins with the oldest record that is still there."""
        return await self._partitions[partition].resolve("trim-horizon")

    async def _fetch(self, partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        return await self._partitions[partition].fetch(offset, max_bytes, wait_s)

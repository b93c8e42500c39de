"""The Ray actor that is one member of a consumer group's pool."""

import asyncio
import logging
import os

from pymongo.errors import PyMongoError

from actors.logs import log_to_ray
from actors.metrics import RayRecorder
from actors.partition_client import PartitionClient
from pistats.consumer.barrier import Barriers
from pistats.consumer.groups import Group, Groups
from pistats.consumer.poison import Danger
from pistats.consumer.pool import GroupMember
from pistats.consumer.process import prepare_process
from pistats.consumer.transform import Transform
from pistats.consumer.worker import PartitionConsumer
from pistats.identity import bucket_of
from pistats.metrics import STEP_SECONDS, NoRecorder, PartitionMetrics, Recorder
from pistats.mongo.client import connect
from pistats.settings import Settings
from pistats.stream.batch import Fetched
from pistats.topology import Topology, load_topology
from pistats.topology_cache import TopologyCache

LOOK_S = 3.0
"""Between two looks at the group's registration: how long its members may go on after it is gone."""
SHADOW_NICENESS = 10
"""Of a group that nobody is shown: the live one, ingest and the readers come first."""
START_AGAIN_EXIT = 75
"""Exit code (EX_TEMPFAIL) of a process that is to be started again by Ray."""

log = logging.getLogger(__name__)


class ConsumerActor:
    """Consumes its fair share of the partitions from its creation on, also after a restart by Ray."""

    async def __init__(  # type: ignore[misc]
        self, name: str, group: Group, settings: Settings, mongodb_uri: str, topology: Topology
    ) -> None:
        log_to_ray()
        self._settings = settings
        self._registered = group
        self._is_nice = False
        client = connect(mongodb_uri)
        self._system = system = client[settings.database()]
        self._groups = Groups(system, settings)
        self._group = self._groups.database(group.name)
        self._topology = TopologyCache(
            lambda: load_topology(system, newest=True), topology, glance=lambda: load_topology(system)
        )
        self._partitions: dict[int, PartitionClient] = {}
        danger = Danger(settings.consumers.step_timeout_s, settings.data / "consumers" / f"{name}.txt")
        self._recorder: Recorder = RayRecorder() if settings.metrics.enabled else NoRecorder()
        self._transform = Transform(
            geoip_db=settings.geoip_db, danger=danger, timed=self._timed if settings.metrics.enabled else None
        )
        self._member = GroupMember(
            name,
            lambda: self._topology.known.actors,
            database=self._group,
            lease_s=settings.consumers.lease_s,
            make=self._worker,
            life=danger.life,
        )
        prepare_process()
        self._topology.start()
        await self._look()
        self._task = asyncio.create_task(self._member.run())
        self._looking = asyncio.create_task(self._keep_looking())

    async def stop(self) -> None:
        """Commit what is held, hand over every partition, and end."""
        self._looking.cancel()
        self._member.stop()
        await self._task

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        """Do as the group's registration says: nothing without one, and give way while the group is not shown."""
        try:
            found = await self._groups.find(self._registered.name)
        except PyMongoError:
            return
        if found is None or found.state == "dropping":
            self._member.stop()
        elif found.state == "shadow" and not self._is_nice:
            os.nice(SHADOW_NICENESS)
            self._is_nice = True
        elif found.state == "live" and self._is_nice:
            await self._start_again()

    async def _start_again(self) -> None:
        """A process cannot become less nice: hand over, and let Ray start it anew."""
        log.info("%s is shown now: starting again with the usual priority", self._registered.name)
        self._member.stop()
        await self._task
        os._exit(START_AGAIN_EXIT)

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
            settled=barriers.settled,
            system=self._system,
            owner_of=self._owner_of,
            metrics=PartitionMetrics(self._recorder, self._registered.name, partition),
        )

    def _timed(self, step: str, seconds: float) -> None:
        self._recorder.record(STEP_SECONDS, seconds, {"step": step})

    def _owner_of(self, site: str, visitor_id: str) -> int:
        return self._topology.known.partition_of(bucket_of(site, visitor_id))

    async def _start(self, partition: int) -> int:
        """Where the group begins in a partition of which it has consumed nothing."""
        if self._registered.is_older_than(partition, self._topology.known):
            return 0
        return await self._client(partition).resolve(self._registered.start_position)

    async def _fetch(self, partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        return await self._client(partition).fetch(offset, max_bytes, wait_s)

    def _client(self, partition: int) -> PartitionClient:
        return self._partitions.setdefault(partition, PartitionClient(partition))

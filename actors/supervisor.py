"""The actor that keeps the others there: it creates partitions and consumers, and heals them, again and again."""

import asyncio
import logging
from typing import Any

import ray

from actors.consumer import ConsumerActor
from actors.logs import log_to_ray
from actors.names import NAMESPACE, SUPERVISOR, consumer_name, partition_name
from actors.partition import ADMIN_CALLS, APPEND_CALLS, FETCH_CALLS, PartitionActor
from pistats.local.ray_head import STREAM_LABEL
from pistats.settings import Settings

HEAL_INTERVAL_S = 2.0
"""How long a missing actor may go unnoticed. Ray restarts one that merely died; this is for those that are gone."""

log = logging.getLogger(__name__)


class SupervisorActor:
    """Idempotent: what is there already is left alone, and a second supervisor changes nothing."""

    async def __init__(self, settings: Settings, mongodb_uri: str, partitions: int) -> None:  # type: ignore[misc]
        log_to_ray()
        self._settings = settings
        self._mongodb_uri = mongodb_uri
        self._partitions = partitions
        self._consumers = [
            consumer_name(settings.consumers.group, number) for number in range(settings.consumers.min_consumers)
        ]
        self._draining = False
        self._heal()
        self._task = asyncio.create_task(self._keep())

    async def ready(self) -> None:
        """Returns once the supervisor has made its first round."""

    async def drain(self) -> None:
        """Let consumers commit what they hold and give their leases back; then start none again."""
        self._draining = True
        actors = [actor for name in self._consumers if (actor := find(name)) is not None]
        await asyncio.gather(*(actor.stop.remote() for actor in actors), return_exceptions=True)

    async def _keep(self) -> None:
        while not self._draining:
            await asyncio.sleep(HEAL_INTERVAL_S)
            try:
                self._heal()
            except Exception:
                log.exception("healing failed; trying again in %s s", HEAL_INTERVAL_S)

    def _heal(self) -> None:
        """Create every actor that should be there and isn't."""
        for partition in range(self._partitions):
            if find(partition_name(partition)) is None:
                create_partition(partition, self._settings)
        for name in self._consumers:
            if find(name) is None:
                create_consumer(name, self._settings, self._mongodb_uri, self._partitions)


def find(name: str) -> Any | None:
    """The live actor of that name, or one that Ray is restarting; None when there is none."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def create_supervisor(settings: Settings, mongodb_uri: str, partitions: int) -> Any:
    """Start the supervisor of this cluster, or find the one that runs."""
    actor = ray.remote(**_detached(SUPERVISOR))(SupervisorActor)
    return actor.remote(settings, mongodb_uri, partitions)


def create_partition(partition: int, settings: Settings) -> Any:
    """Start the actor of one partition, on a node that keeps stream partitions on its disk."""
    options = _detached(partition_name(partition))
    options["concurrency_groups"] = {"append": APPEND_CALLS, "fetch": FETCH_CALLS, "admin": ADMIN_CALLS}
    if settings.stream.log == "file":
        options["label_selector"] = {STREAM_LABEL: "yes"}
    return ray.remote(**options)(PartitionActor).remote(partition, settings)


def create_consumer(name: str, settings: Settings, mongodb_uri: str, partitions: int) -> Any:
    """Start one member of the consumer group's pool."""
    return ray.remote(**_detached(name))(ConsumerActor).remote(name, settings, mongodb_uri, partitions)


def _detached(name: str) -> dict[str, Any]:
    """Options of an actor that outlives its creator, takes no core of its own, and is restarted for ever.

    No task retries: Ray's own would repeat and reorder appends. Callers repeat by batch id.
    """
    return {
        "name": name,
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 0,
    }

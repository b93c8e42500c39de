"""Finds actors by name, and starts those that are missing."""

from typing import Any

import ray

from actors.consumer import ConsumerActor
from actors.names import NAMESPACE, partition_name
from actors.partition import CALLS, PartitionActor
from pistats.consumer.groups import Group
from pistats.local.ray_head import STREAM_LABEL
from pistats.settings import Settings
from pistats.topology import Topology


def find(name: str) -> Any | None:
    """The live actor of that name, or one that Ray is restarting; None when there is none."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def create_partition(partition: int, settings: Settings, mongodb_uri: str) -> Any:
    """Start the actor of one partition, on a node that keeps stream partitions on its disk."""
    options = detached(partition_name(partition))
    options["max_concurrency"] = CALLS
    if settings.stream.log == "file":
        options["label_selector"] = {STREAM_LABEL: "yes"}
    return ray.remote(**options)(PartitionActor).remote(partition, settings, mongodb_uri)


def create_consumer(name: str, group: Group, settings: Settings, mongodb_uri: str, topology: Topology) -> Any:
    """Start one member of a consumer group's pool."""
    return ray.remote(**detached(name))(ConsumerActor).remote(name, group, settings, mongodb_uri, topology)


def detached(name: str) -> dict[str, Any]:
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
        # Else Ray's state API keeps several events of every append and fetch.
        "enable_task_events": False,
    }

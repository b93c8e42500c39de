"""The consumer actors of every group: created, added and taken away as the groups and their lag require."""

import asyncio
import contextlib
import logging
import time
from typing import Any

import ray
from pymongo.errors import PyMongoError

from actors.handles import create_consumer, find
from actors.names import consumer_name
from pistats.consumer.checkpoints import lag_s, living
from pistats.consumer.groups import Group, Groups
from pistats.consumer.scaling import Bounds, PoolSize
from pistats.settings import Settings
from pistats.topology import Topology
from pistats.warehouse.storage import Storage

log = logging.getLogger(__name__)

STOP_S = 5.0
"""Beyond a lease: how long a consumer may take to commit and hand over before its process is ended."""

STARTING_S = 30.0
"""A consumer begins within 3 to 15 s of its start on two busy cores."""


class ConsumerPools:
    """Idempotent: what is there already is left alone. One supervisor uses it; a second one changes nothing."""

    def __init__(self, groups: Groups, settings: Settings, mongodb_uri: str) -> None:
        self._groups = groups
        self._settings = settings
        self._mongodb_uri = mongodb_uri
        self._bounds = Bounds(settings.consumers.min_consumers, settings.consumers.max_consumers)
        self._known: list[Group] = []
        self._sizes: dict[str, PoolSize] = {}
        self._retiring: dict[str, asyncio.Task[None]] = {}
        self._created: dict[str, float] = {}
        """When the newest consumer of each group was started, by the monotonic clock."""

    async def heal(self, topology: Topology) -> None:
        """Let every registered group have the consumers that it needs now, and a dropped one none, nor anything."""
        self._retiring = {name: task for name, task in self._retiring.items() if not task.done()}
        await self._learn()
        for group in self._known:
            if group.state == "dropping":
                await self._drop(group)
            else:
                await self._fill(group, topology)

    async def stop(self) -> None:
        """Let every consumer commit what it holds and give its leases back."""
        actors = [actor for group in self._known for _, actor in self._running(group.name)]
        await asyncio.gather(*(actor.stop.remote() for actor in actors), return_exceptions=True)

    async def _learn(self) -> None:
        """What is registered; when MongoDB is away, what was: consumers are healed without it too."""
        try:
            self._known = await self._groups.list()
        except PyMongoError as error:
            log.warning("the groups cannot be read, the last known ones stay: %s", error)

    async def _fill(self, group: Group, topology: Topology) -> None:
        running = dict(self._running(group.name))
        bounds = self._bounds.within(topology.actors)
        pool = self._pool(group, max(len(running), bounds.least))
        before = pool.size
        size = pool.look(await self._lag_s(group, before), bounds)
        if size != before:
            log.info("group %s: from %d to %d consumers", group.name, before, size)
        for number in range(size):
            name = consumer_name(group.name, number)
            if number not in running and name not in self._retiring:
                create_consumer(name, group, self._settings, self._mongodb_uri, topology)
                self._created[group.name] = time.monotonic()
        for number, actor in running.items():
            if number >= size:
                self._retire(consumer_name(group.name, number), actor)

    def _pool(self, group: Group, size: int) -> PoolSize:
        """Its size so far; `size` when this supervisor sees the group for the first time."""
        if group.name not in self._sizes:
            self._sizes[group.name] = PoolSize(size, self._settings.consumers.shrink_after_s, time.monotonic)
        return self._sizes[group.name]

    async def _lag_s(self, group: Group, consumers: int) -> float:
        """0 when it cannot be known now: nothing changes without a reason.

        Also while one that was started just now has not begun, as after every start of the system: more would not help
        yet. One that hangs is no reason to wait.
        """
        database = self._groups.database(group.name)
        starting = time.monotonic() - self._created.get(group.name, float("-inf")) < STARTING_S
        try:
            return 0.0 if starting and await living(database) < consumers else await lag_s(database)
        except PyMongoError:
            return 0.0

    async def _drop(self, group: Group) -> None:
        running = self._running(group.name)
        for number, actor in running:
            self._retire(consumer_name(group.name, number), actor)
        if not running and await self._groups.finish_drop(group.name, self._remove_files):
            self._sizes.pop(group.name, None)
            log.info("group %s is dropped", group.name)

    async def _remove_files(self, name: str) -> None:
        storage = Storage(self._settings.warehouse_root)
        await asyncio.to_thread(storage.delete_group, name)

    def _running(self, group: str) -> list[tuple[int, Any]]:
        """(number, actor) of the group's consumers, those that are being retired included."""
        names = [(number, consumer_name(group, number)) for number in range(self._bounds.highest)]
        return [(number, actor) for number, name in names if (actor := find(name)) is not None]

    def _retire(self, name: str, actor: Any) -> None:
        if name not in self._retiring:
            self._retiring[name] = asyncio.create_task(self._stop_and_end(name, actor))

    async def _stop_and_end(self, name: str, actor: Any) -> None:
        """Let it hand over, then end its process: an idle one would keep its memory."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._settings.consumers.lease_s + STOP_S):
                await actor.stop.remote()
        ray.kill(actor, no_restart=True)
        log.info("%s has ended", name)

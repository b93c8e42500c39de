"""The way from a bucket to the partition that stores it now, and to those that stored it before."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pistats.errors import UnavailableError
from pistats.ingest.batcher import MicroBatcher
from pistats.topology import Topology
from pistats.topology_cache import TopologyCache

MakeBatcher = Callable[[int, int], MicroBatcher]
"""(partition, layout): what appends batches of this layout to the partition."""


@dataclass(frozen=True, slots=True)
class Route:
    """What one topology means for requests. May be used when it is old: partitions then answer `moved`."""

    topology: Topology
    homes: tuple[MicroBatcher, ...]
    """By partition."""
    former: Mapping[int, tuple[MicroBatcher, ...]]
    """By bucket: whom to ask, before anything of it is stored, what they stored within the dedupe window. Empty unless
    the layout changed within it. They are asked by an earlier layout, so they store nothing."""
    former_until: int
    """Unix ms: when the dedupe window has passed since the last change."""

    def asks_first(self, now: int) -> bool:
        """Whether some buckets had other homes within the dedupe window."""
        return bool(self.former) and now < self.former_until


class Router:
    """The newest route. A batcher belongs to one partition and one layout, so no batch mixes layouts."""

    def __init__(self, topology: TopologyCache, make: MakeBatcher, dedupe_window_s: int) -> None:
        self._topology = topology
        self._make = make
        self._window_ms = dedupe_window_s * 1000
        self._batchers: dict[tuple[int, int], MicroBatcher] = {}  # few: one for each partition and change
        self._route = self._route_of(topology.known)

    @property
    def route(self) -> Route:
        """By the newest topology that is known."""
        if self._topology.known is not self._route.topology:
            self._route = self._route_of(self._topology.known)
        return self._route

    async def newer_than(self, route: Route, deadline: float) -> Route:
        """The route after a change that a partition knows of already. Raises UnavailableError at the deadline."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._topology.newer_than(route.topology.epoch)
        except TimeoutError as error:
            raise UnavailableError("The number of partitions is being changed. Send the events again.") from error
        return self.route

    def start(self) -> None:
        """Begin to keep the topology fresh. Needs a running event loop; may be called again."""
        self._topology.start()

    async def close(self) -> None:
        """Wait for the appends under way, of every layout."""
        await asyncio.gather(*(batcher.close() for batcher in self._batchers.values()))
        await self._topology.close()

    def _route_of(self, topology: Topology) -> Route:
        homes = tuple(self._batcher(partition, topology.epoch) for partition in range(topology.partitions))
        last_change = topology.changes[-1].time if topology.changes else 0
        moved = topology.moved_buckets(last_change - self._window_ms)
        former = {
            bucket: tuple(self._batcher(partition, topology.epoch - 1) for partition in partitions)
            for bucket, partitions in moved.items()
        }
        return Route(topology, homes, former, last_change + self._window_ms)

    def _batcher(self, partition: int, layout: int) -> MicroBatcher:
        batcher = self._batchers.get((partition, layout))
        if batcher is None:
            batcher = self._batchers[partition, layout] = self._make(partition, layout)
        return batcher

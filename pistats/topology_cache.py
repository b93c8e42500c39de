"""The topology in memory: a few seconds old at most, and as new as it gets when somebody needs that."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from pistats.topology import Topology

log = logging.getLogger(__name__)

REFRESH_S = 2.0
"""Nothing waits for it: whoever acts by an old topology is told so by a partition."""

POLL_S = 0.05
"""Between two looks for a change that is about to be published: it follows the seals within about 0.1 s."""

Load = Callable[[], Awaitable[Topology]]


class TopologyCache:
    """The newest topology that this process has seen. Its epoch never falls."""

    def __init__(self, load: Load, known: Topology, refresh_s: float = REFRESH_S, glance: Load | None = None) -> None:
        """`load` gives a topology no older than what anyone was told before the call.

        `glance` may give an older one, for less: a linearizable read makes MongoDB write. None: the same as `load`.
        """
        self._load = load
        self._glance = glance or load
        self._refresh_s = refresh_s
        self._refresher: asyncio.Task[None] | None = None
        self._poll: asyncio.Task[None] | None = None
        self.known = known

    async def refresh(self) -> Topology:
        """Read it now. Raises what `load` raises; then what is known stays."""
        return self._newer(await self._load())

    async def look(self) -> Topology:
        """Read it from time to time, when nothing depends on the very newest. Raises as `refresh` does."""
        return self._newer(await self._glance())

    def _newer(self, loaded: Topology) -> Topology:
        if loaded.epoch >= self.known.epoch and loaded != self.known:
            self.known = loaded
        return self.known

    async def newer_than(self, epoch: int) -> Topology:
        """The first topology above `epoch`, as soon as it is published. All who wait share the reads."""
        while self.known.epoch <= epoch:
            if self._poll is None or self._poll.done():
                self._poll = asyncio.get_running_loop().create_task(self._read_once(epoch))
            await asyncio.shield(self._poll)
        return self.known

    def start(self) -> None:
        """Begin to refresh in the background. Needs a running event loop; may be called again."""
        if self._refresher is None:
            self._refresher = asyncio.get_running_loop().create_task(self._refresh_for_ever())

    async def close(self) -> None:
        """Stop refreshing. May be repeated."""
        for task in (self._refresher, self._poll):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._refresher = self._poll = None

    async def _read_once(self, epoch: int) -> None:
        try:
            await self.refresh()
        except Exception as error:
            log.warning("the topology cannot be loaded: %s", error)
        if self.known.epoch <= epoch:
            await asyncio.sleep(POLL_S)

    async def _refresh_for_ever(self) -> None:
        failing = False
        while True:
            try:
                await self.look()
                failing = False
            except Exception as error:
                if not failing:
                    log.warning("the topology cannot be loaded, the last known one stays in use: %s", error)
                failing = True
            await asyncio.sleep(self._refresh_s)

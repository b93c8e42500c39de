"""The topology in memory: a few seconds old at most, and as new as it gets when somebody needs that."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from pistats.topology import Topology

log = logging.getLogger(__name__)

REFRESH_S = 2.0
"""Nothing waits for it: whoever acts by an old topology is told so by a partition."""

Load = Callable[[], Awaitable[Topology]]


class TopologyCache:
    """The newest topology that this process has seen. Its epoch never falls."""

    def __init__(self, load: Load, known: Topology, refresh_s: float = REFRESH_S) -> None:
        """`load` gives a topology no older than what anyone was told before the call."""
        self._load = load
        self._refresh_s = refresh_s
        self._refresher: asyncio.Task[None] | None = None
        self.known = known

    async def refresh(self) -> Topology:
        """Read it now. Raises what `load` raises; then what is known stays."""
        loaded = await self._load()
        if loaded.epoch >= self.known.epoch and loaded != self.known:
            self.known = loaded
        return self.known

    def start(self) -> None:
        """Begin to refresh in the background. Needs a running event loop; may be called again."""
        if self._refresher is None:
            self._refresher = asyncio.get_running_loop().create_task(self._refresh_for_ever())

    async def close(self) -> None:
        """Stop refreshing. May be repeated."""
        if self._refresher is not None:
            self._refresher.cancel()
            with suppress(asyncio.CancelledError):
                await self._refresher
            self._refresher = None

    async def _refresh_for_ever(self) -> None:
        failing = False
        while True:
            try:
                await self.refresh()
                failing = False
            except Exception as error:
                if not failing:
                    log.warning("the topology cannot be loaded, the last known one stays in use: %s", error)
                failing = True
            await asyncio.sleep(self._refresh_s)

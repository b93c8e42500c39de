"""The live numbers inside the query replica: followed while someone asks for them, and not a moment longer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pistats.clock import Clock, now_ms
from pistats.errors import UnavailableError
from pistats.live import LiveView
from pistats.live.hub import LiveHub
from pistats.live.source import LiveSource

LINGER_S = 60.0
"""How long the change stream stays open after the last reader: who polls every few seconds finds it warm."""

LOAD_TIMEOUT_S = 10.0
POLL_S = 0.02

NewView = Callable[[], LiveView]
NewSource = Callable[[NewView, Clock, Callable[[], None]], LiveSource[LiveView]]
"""(new view, clock, called after each change): a source that is not yet running."""


class LiveNumbers:
    """One change stream for all readers of this process. An idle system with no reader costs nothing."""

    def __init__(self, new_source: NewSource, updates_per_s: float, linger_s: float = LINGER_S) -> None:
        self._source = new_source(LiveView, now_ms, lambda: self._hub.changed())
        self._hub = LiveHub(lambda: self._source.view, lambda: self._source.connected, updates_per_s, now_ms)
        self._linger_s = linger_s
        self._readers = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[LiveHub]:
        """The hub with current numbers, until the block ends. Raises UnavailableError when MongoDB does not answer."""
        self._enter()
        try:
            await self._loaded()
            yield self._hub
        finally:
            self._leave()

    @property
    def following(self) -> bool:
        """Whether a change stream is open, or about to be."""
        return bool(self._tasks)

    async def close(self) -> None:
        """Stop following."""
        if self._closing is not None:
            self._closing.cancel()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _enter(self) -> None:
        self._readers += 1
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._source.run()), asyncio.create_task(self._hub.run())]

    def _leave(self) -> None:
        self._readers -= 1
        if self._readers == 0:
            self._closing = asyncio.get_running_loop().call_later(self._linger_s, self._stop)

    def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()

    async def _loaded(self) -> None:
        deadline = asyncio.get_running_loop().time() + LOAD_TIMEOUT_S
        while not self._source.connected:
            if asyncio.get_running_loop().time() > deadline:
                raise UnavailableError("MongoDB does not answer, so there are no live numbers: ask again.")
            await asyncio.sleep(POLL_S)

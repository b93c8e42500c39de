"""Hands the latest snapshot of a site to everyone who looks at it, and never an older one."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

IDLE_S = 1.0
"""A snapshot comes at least this often: visitors leave without an event, and the numbers have to fall."""

SETTLE_S = 0.005
"""What one commit writes arrives in several changes; this is long enough to show them together."""


class Snapshots(Protocol):
    """What the hub shows: the live numbers of any site at any moment."""

    def snapshot(self, site: str, now_ms: int, /) -> dict[str, Any]: ...


@dataclass(slots=True, eq=False)
class Viewer:
    """One open page. `news` is set when its site has a snapshot it has not been sent."""

    site: str
    news: asyncio.Event = field(default_factory=asyncio.Event)
    number: int = 0
    """Of the last snapshot that it has been sent."""


class Latest:
    """The newest snapshot of a site as JSON, and what of it is new since an older one."""

    def __init__(self) -> None:
        self.number = 0
        self._values: dict[str, tuple[int, bytes]] = {}
        """By key: the number of the snapshot that changed it, and the value."""
        self._since: dict[int, str] = {}

    def take(self, snapshot: dict[str, Any]) -> None:
        """Numbers it one higher than the last."""
        self.number += 1
        self._since.clear()
        for key, value in snapshot.items():
            now = orjson.dumps(value, default=str)
            before = self._values.get(key)
            if before is None or before[1] != now:
                self._values[key] = self.number, now

    def since(self, number: int) -> str:
        """An object of the values that are not as in snapshot `number`; of all for 0. Made once for all who ask."""
        if number not in self._since:
            new = (orjson.dumps(key) + b":" + now for key, (changed, now) in self._values.items() if changed > number)
            self._since[number] = (b"{" + b",".join(new) + b"}").decode()
        return self._since[number]


class LiveHub:
    """Builds one snapshot per watched site and tick; a slow viewer skips snapshots instead of queueing them.

    Costs nothing while nobody looks. Everything but `snapshot_threadsafe` belongs to the event loop.
    """

    def __init__(
        self,
        view: Callable[[], Snapshots],
        connected: Callable[[], bool],
        updates_per_s: float,
        clock: Callable[[], int],
    ) -> None:
        self._view = view
        self._connected = connected
        self._pause_s = 1 / updates_per_s
        self._clock = clock
        self._changed = asyncio.Event()
        self._watched = asyncio.Event()
        self._viewers: set[Viewer] = set()
        self._latest: dict[str, Latest] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def changed(self) -> None:
        """The view holds something new."""
        self._changed.set()

    async def run(self) -> None:
        """Publishes until cancelled: at most `updates_per_s` a second, at least one a second."""
        self._loop = asyncio.get_running_loop()
        while True:
            await self._watched.wait()
            self._changed.clear()
            started = time.monotonic()
            self._publish()
            await asyncio.sleep(max(0.0, self._pause_s - (time.monotonic() - started)))
            await _wait(self._changed, IDLE_S - self._pause_s)
            await asyncio.sleep(SETTLE_S)

    @asynccontextmanager
    async def messages(self, site: str, *, changes: bool = False) -> AsyncIterator[AsyncIterator[str]]:
        """An endless stream of snapshots of a site, as JSON, the first one at once; only the latest is ever waiting.

        `changes`: after the first, only the values that this reader does not have yet.
        """
        viewer = Viewer(site)
        self._viewers.add(viewer)
        self._watched.set()
        if site not in self._latest:
            self._take(site)
        viewer.news.set()
        try:
            yield self._stream(viewer, changes=changes)
        finally:
            self._leave(viewer)

    def snapshot(self, site: str) -> dict[str, Any]:
        """What a page shows now: the live answer, plus whether MongoDB is in reach."""
        snapshot = self._view().snapshot(site, self._clock())
        return {**snapshot, "site": site, "connected": self._connected()}

    def snapshot_threadsafe(self, site: str, timeout_s: float = 5.0) -> dict[str, Any]:
        """`snapshot` for page scripts, which run in threads of their own."""
        loop = self._loop
        if loop is None or not loop.is_running():
            return self.snapshot(site)

        async def build() -> dict[str, Any]:
            return self.snapshot(site)

        return asyncio.run_coroutine_threadsafe(build(), loop).result(timeout_s)

    @property
    def viewers(self) -> Counter[str]:
        """Open pages per site."""
        return Counter(viewer.site for viewer in self._viewers)

    async def _stream(self, viewer: Viewer, *, changes: bool) -> AsyncIterator[str]:
        while True:
            await viewer.news.wait()
            viewer.news.clear()
            latest = self._latest[viewer.site]
            message = latest.since(viewer.number if changes else 0)
            viewer.number = latest.number
            yield message

    def _publish(self) -> None:
        for site in {viewer.site for viewer in self._viewers}:
            self._take(site)
        for viewer in self._viewers:
            viewer.news.set()

    def _leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        if all(other.site != viewer.site for other in self._viewers):
            self._latest.pop(viewer.site, None)
        if not self._viewers:
            self._watched.clear()

    def _take(self, site: str) -> None:
        self._latest.setdefault(site, Latest()).take(self.snapshot(site))


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Returns when the event is set, or after the time-out."""
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await event.wait()
    except TimeoutError:
        return

"""The sites by write key, in memory: a request never waits for MongoDB unless its key is new."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import orjson

from pistats.errors import OverloadedError, UnavailableError
from pistats.sites import Site, hash_key

log = logging.getLogger(__name__)

MISS_INTERVAL_S = 0.5
"""Unknown keys cause at most two reads of the sites a second. A new site's first request waits up to this."""

MAX_WAITING = 100
"""Requests with an unknown key that wait for the next read; more are refused at once, so they cannot pile up."""

MAX_UNKNOWN = 10_000
"""Unknown keys remembered until the next read, about 1 MB."""


class KnownSite:
    """A site, with what each of its requests needs made ready."""

    __slots__ = ("head", "name", "origins", "site")

    def __init__(self, site: Site) -> None:
        self.site = site
        self.name = site.name
        self.origins = frozenset(site.allowed_origins)
        self.head = b'{"site":' + orjson.dumps(site.name) + b',"received_time":'
        """How each of its records begins."""


class SiteCache:
    """The sites, at most `refresh_s` old while they can be loaded, and the last known ones while they cannot."""

    def __init__(self, load: Callable[[], Awaitable[Sequence[Site]]], refresh_s: float) -> None:
        self._load = load
        self._refresh_s = refresh_s
        self._sites: dict[str, KnownSite] = {}
        self._unknown: set[str] = set()
        self._loaded = False
        self._failing = False
        self._last_start = float("-inf")
        self._reading: asyncio.Task[bool] | None = None
        self._waiting = 0
        self._refresher: asyncio.Task[None] | None = None

    @property
    def loaded(self) -> bool:
        """Whether the sites are known at all."""
        return self._loaded

    def start(self) -> None:
        """Begin to refresh in the background. May be called again."""
        if self._refresher is None:
            self._refresher = asyncio.get_running_loop().create_task(self._refresh_for_ever())

    async def close(self) -> None:
        """Stop refreshing."""
        for task in (self._refresher, self._reading):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._refresher = self._reading = None

    def known(self, key: str) -> KnownSite | None:
        """The site that this write key belongs to, if it is in memory."""
        return self._sites.get(hash_key(key))

    async def find(self, key: str) -> KnownSite | None:
        """The site that this write key belongs to; None when there is none. May wait for one read of the sites.

        Raises UnavailableError: the key is not known and the sites cannot be loaded, so nobody can tell.
        Raises OverloadedError: too many others wait already.
        """
        key_hash = hash_key(key)
        if key_hash in self._sites or key_hash in self._unknown:
            return self._sites.get(key_hash)
        if self._waiting >= MAX_WAITING:
            raise OverloadedError("Too many requests with new keys are waiting to be checked: send again.")
        self._waiting += 1
        try:
            read = await asyncio.shield(self._read_soon())
        finally:
            self._waiting -= 1
        site = self._sites.get(key_hash)
        if site is None and not read:
            raise UnavailableError("The sites cannot be loaded from MongoDB, so the key cannot be checked: send again.")
        if site is None and len(self._unknown) < MAX_UNKNOWN:
            self._unknown.add(key_hash)
        return site

    def _read_soon(self) -> asyncio.Task[bool]:
        """The next read, which begins after this call: the ones who wait share it."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read_in_turn())
        return self._reading

    async def _read_in_turn(self) -> bool:
        wait_s = self._last_start + MISS_INTERVAL_S - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self._reading = None  # who comes now has to wait for another one
        return await self._read()

    async def _read(self) -> bool:
        self._last_start = asyncio.get_running_loop().time()
        try:
            sites = await self._load()
        except Exception as error:
            if not self._failing:
                log.warning("the sites cannot be loaded, the last known ones stay in use: %s", error)
            self._failing = True
            return False
        self._sites = {site.write_key_hash: KnownSite(site) for site in sites}
        self._unknown.clear()
        self._loaded, self._failing = True, False
        return True

    async def _refresh_for_ever(self) -> None:
        while True:
            await self._read()
            await asyncio.sleep(self._refresh_s)

"""SiteCache: fresh while it can be, stale rather than silent, and no amplifier of unknown keys."""

import asyncio

import pytest

from pistats.errors import UnavailableError
from pistats.ingest.site_cache import SiteCache
from pistats.sites import Site, hash_key


class Store:
    """Sites that can change, fail, and count how often they are read."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)
        self.reads = 0
        self.error: Exception | None = None

    async def load(self) -> list[Site]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return [Site(key, "UTC", hash_key(key), hash_key("r" + key), (), True, 0) for key in self.keys]


async def test_a_new_key_is_found_by_one_read_however_many_ask():
    store = Store("a")
    cache = SiteCache(store.load, refresh_s=60)

    found = await asyncio.gather(*(cache.find("a") for _ in range(50)))

    assert {site.name for site in found if site} == {"a"}
    assert store.reads == 1
    assert cache.known("a") is found[0]


async def test_a_site_added_a_moment_ago_is_found_at_once():
    store = Store("a")
    cache = SiteCache(store.load, refresh_s=60)
    await cache.find("a")
    store.keys.append("b")

    site = await cache.find("b")

    assert site is not None
    assert site.name == "b"


async def test_an_unknown_key_is_not_looked_up_again():
    store = Store("a")
    cache = SiteCache(store.load, refresh_s=60)

    for _ in range(20):
        assert await cache.find("wrong") is None

    assert store.reads == 1


async def test_while_the_sites_cannot_be_loaded_known_keys_go_on_and_unknown_ones_are_told_to_wait():
    store = Store("a")
    cache = SiteCache(store.load, refresh_s=60)
    await cache.find("a")
    store.error = OSError("no MongoDB")

    with pytest.raises(UnavailableError):
        await cache.find("b")

    assert cache.known("a") is not None


async def test_without_any_sites_nobody_is_called_unknown():
    store = Store("a")
    store.error = OSError("no MongoDB")
    cache = SiteCache(store.load, refresh_s=60)

    with pytest.raises(UnavailableError):
        await cache.find("a")
    assert not cache.loaded


async def test_a_revoked_key_is_forgotten_in_the_background():
    store = Store("a")
    cache = SiteCache(store.load, refresh_s=0.005)
    cache.start()
    cache.start()
    await cache.find("a")
    store.keys.clear()

    async with asyncio.timeout(5):
        while cache.known("a"):  # noqa: ASYNC110  # a background task, without an event
            await asyncio.sleep(0.005)
    await cache.close()

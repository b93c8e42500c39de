"""What the dashboard knows of access and sites: read often while somebody is there, and before the first who comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from dashboard import keeper as module
from dashboard.keeper import UNUSED_S, Keeper
from pistats.dashboard_access import ensure_password
from pistats.share_links import ShareLinks

Database = AsyncDatabase[dict[str, Any]]

DEADLINE_S = 20


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def running(keeper: Keeper) -> AsyncIterator[None]:
    task = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until_it_rests(keeper: Keeper) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not keeper.rests:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_who_comes_after_a_long_time_finds_what_holds_now(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_S", 0.01)
    await ensure_password(database)
    links, clock = ShareLinks(database), Clock()
    _, link = await links.add("shop.example")
    keeper = Keeper(database, clock)
    async with running(keeper):
        await keeper.look()
        assert keeper.access is not None
        assert list(keeper.access.shares) == [link.share_id]
        clock.now += UNUSED_S + 1
        await until_it_rests(keeper)
        await links.revoke(link.share_id)
        assert keeper.access.shares  # it rests: nobody has told it

        await asyncio.gather(*(keeper.look() for _ in range(3)))

        assert not keeper.access.shares
        assert not keeper.rests


async def test_while_somebody_is_there_it_keeps_reading(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFRESH_S", 0.01)
    await ensure_password(database)
    links, clock = ShareLinks(database), Clock()
    _, link = await links.add("shop.example")
    keeper = Keeper(database, clock)
    async with running(keeper):
        await keeper.look()
        await links.revoke(link.share_id)
        async with asyncio.timeout(DEADLINE_S):
            while keeper.access is None or keeper.access.shares:
                clock.now += UNUSED_S - 1
                await keeper.look()
                await asyncio.sleep(0.01)
        assert not keeper.rests


async def test_without_mongodb_the_first_who_comes_is_let_in_by_what_was_known(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_S", 0.01)
    monkeypatch.setattr(module, "WAKE_S", 0.01)
    await ensure_password(database)
    clock = Clock()
    keeper = Keeper(database, clock)
    async with running(keeper):
        await keeper.look()
        clock.now += UNUSED_S + 1
        await until_it_rests(keeper)
        away = AsyncMongoClient[dict[str, Any]]("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=50)
        monkeypatch.setattr(keeper, "_database", away["nowhere"])
        await keeper.look()
        assert keeper.access is not None
        await away.close()

"""The change stream: what is committed is in the view, whatever breaks in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.clock import now_ms
from pistats.live.source import LiveSource

Database = AsyncDatabase[dict[str, Any]]


class Kept:
    """A view that keeps the latest document of every id."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}

    def apply(self, kind: str, document: dict[str, Any], /) -> None:
        self.documents[kind, str(document["_id"])] = document

    def reads(self, now_ms: int, /) -> list[tuple[int, int]]:
        return [(now_ms - 31 * 60_000, now_ms), (now_ms - 120 * 60_000, now_ms - 100 * 60_000)]

    def numbers(self) -> set[int]:
        return {document["n"] for document in self.documents.values()}


@pytest.fixture
async def source(database: Database) -> AsyncIterator[LiveSource[Kept]]:
    source = LiveSource(database, Kept, now_ms, lambda: None)
    running = asyncio.create_task(source.run())
    yield source
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def reached(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not reached within 20 s")


def minute(n: int, age_ms: int = 0) -> dict[str, Any]:
    return {"_id": {"site": "shop", "minute": now_ms() - age_ms, "partition": n}, "n": n}


async def test_what_was_there_and_what_comes_is_shown(database: Database, source: LiveSource[Kept]) -> None:
    await database.minutes.insert_one(minute(1))
    await reached(lambda: source.view.numbers() == {1})
    later = minute(2)
    await database.minutes.insert_one(later)
    await database.feed.insert_one({"_id": {"site": "shop", "partition": 0}, "n": 3})
    await reached(lambda: source.view.numbers() == {1, 2, 3})
    await database.minutes.replace_one({"_id": later["_id"]}, {"n": 4})
    await database.feed.update_one({}, {"$set": {"n": 5}})
    await reached(lambda: source.view.numbers() == {1, 4, 5})
    assert source.connected


async def test_a_reload_reads_what_the_view_asks_for_and_nothing_else(database: Database) -> None:
    await database.minutes.insert_many([minute(1), minute(2, 110 * 60_000), minute(3, 40 * 60_000)])
    await database.dead_letters.insert_one({"n": 4})
    source = LiveSource(database, Kept, now_ms, lambda: None)
    running = asyncio.create_task(source.run())
    await reached(lambda: source.connected)
    assert source.view.numbers() == {1, 2}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_other_collections_do_not_wake_the_view(database: Database, source: LiveSource[Kept]) -> None:
    await reached(lambda: source.connected)
    await database.ledger.insert_one({"n": 9})
    await database.minutes.insert_one(minute(1))
    await reached(lambda: source.view.numbers() == {1})


async def test_after_an_error_everything_is_read_again(database: Database, source: LiveSource[Kept]) -> None:
    await reached(lambda: source.connected)
    fail = {"failCommands": ["getMore", "aggregate"], "errorCode": 280, "closeConnection": False}
    admin = database.client.admin
    await admin.command({"configureFailPoint": "failCommand", "mode": {"times": 6}, "data": fail})
    await database.minutes.insert_one(minute(1))
    await reached(lambda: source.view.numbers() == {1})
    await database.minutes.insert_one(minute(2))
    await reached(lambda: source.view.numbers() == {1, 2})


async def test_a_document_that_the_view_cannot_take_does_not_end_it(database: Database) -> None:
    class Picky(Kept):
        refused = 0

        def apply(self, kind: str, document: dict[str, Any], /) -> None:
            if document["n"] == 13 and not Picky.refused:
                Picky.refused += 1
                raise KeyError("n")
            super().apply(kind, document)

    source = LiveSource(database, Picky, now_ms, lambda: None)
    running = asyncio.create_task(source.run())
    await reached(lambda: source.connected)
    await database.minutes.insert_one(minute(13))
    await database.minutes.insert_one(minute(1))
    await reached(lambda: source.view.numbers() == {1, 13})
    assert Picky.refused == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_dropped_collections_are_forgotten(database: Database, source: LiveSource[Kept]) -> None:
    await database.minutes.insert_one(minute(1))
    await reached(lambda: source.view.numbers() == {1})
    await database.minutes.drop()
    await reached(lambda: source.view.numbers() == set())
    await database.minutes.insert_one(minute(2))
    await reached(lambda: source.view.numbers() == {2})

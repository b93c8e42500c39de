"""The days' salts on a real MongoDB: shared, agreed on, and soon forgotten."""

import asyncio

import pytest

from pistats.errors import UnavailableError
from pistats.ingest.salts import DAY_MS, DailySalts, MongoSaltStore
from pistats.mongo.client import connect

DAY = 20_780


async def test_every_process_gets_the_same_salt_for_a_day(database):
    stores = [MongoSaltStore(database) for _ in range(8)]

    salts = await asyncio.gather(*(store.salt(DAY) for store in stores))

    assert len(set(salts)) == 1
    assert len(salts[0]) == 32
    assert await stores[0].salt(DAY + 1) != salts[0]


async def test_salts_are_deleted_two_days_later(database):
    store = MongoSaltStore(database)
    for day in range(DAY, DAY + 4):
        await store.salt(day)

    assert [document["_id"] async for document in database["salts"].find().sort("_id")] == ["2026-11-25", "2026-11-26"]


async def test_tomorrows_salt_is_fetched_before_midnight(database):
    salts = DailySalts(MongoSaltStore(database))
    today = await salts.at(DAY * DAY_MS)
    assert await database["salts"].count_documents({}) == 1

    assert await salts.at((DAY + 1) * DAY_MS - 60_000) == today

    async with asyncio.timeout(5):
        while await database["salts"].count_documents({}) < 2:  # noqa: ASYNC110  # another task writes it
            await asyncio.sleep(0.01)
    assert await salts.at((DAY + 1) * DAY_MS) != today


async def test_without_mongodb_the_error_says_what_is_missing():
    client = connect("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50")
    with pytest.raises(UnavailableError, match="salt of 2026-11-23"):
        await DailySalts(MongoSaltStore(client["none"])).at(DAY * DAY_MS)
    await client.close()

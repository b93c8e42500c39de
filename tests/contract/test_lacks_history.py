"""When a replayed group knows less of the past than the one that is shown."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pistats.consumer.history import lacks_history
from pistats.mongo.indexes import Database

NOON = 1_764_072_000_000
TODAY, YESTERDAY, TOMORROW = "2025-11-25", "2025-11-24", "2025-11-26"


@pytest.fixture
async def replayed(database: Database) -> AsyncIterator[Database]:
    """It began at offset 10 of partition 1, at noon."""
    replayed = database.client[f"{database.name}_again"]
    await replayed["partitions"].insert_many([{"_id": 0, "start_offset": 0}, {"_id": 1, "start_offset": 10}])
    await replayed["ledger"].insert_one({"_id": {"partition": 1, "minute": NOON}})
    yield replayed
    await database.client.drop_database(replayed.name)


def a_file(name: str, date: str, origin: str = "stream") -> dict[str, Any]:
    return {"_id": name, "site": "s", "date": date, "origin": origin}


async def test_files_of_before_its_start_have_to_be_adopted(database: Database, replayed: Database) -> None:
    assert not await lacks_history(database, replayed)
    await database["files"].insert_many([a_file("a", TODAY), a_file("b", YESTERDAY), a_file("c", TOMORROW)])
    assert await lacks_history(database, replayed)
    await replayed["adopted"].insert_many([{"_id": {"site": "s", "date": date}} for date in (TODAY, YESTERDAY)])
    assert not await lacks_history(database, replayed)


async def test_chunks_of_before_its_start_have_to_be_archived_and_adopted(
    database: Database, replayed: Database
) -> None:
    await database["chunks"].insert_one({"_id": {"partition": 1, "first_offset": 10}})
    assert not await lacks_history(database, replayed)
    await database["chunks"].insert_one({"_id": {"partition": 1, "first_offset": 9}})
    assert await lacks_history(database, replayed)


async def test_a_group_that_consumed_the_whole_log_lacks_imports_only(database: Database, replayed: Database) -> None:
    await replayed["partitions"].update_many({}, {"$set": {"start_offset": 0}})
    await database["files"].insert_one(a_file("a", YESTERDAY))
    assert not await lacks_history(database, replayed)
    await database["imports"].insert_one({"_id": {"site": "s", "start": 0, "digest": "d"}})
    assert await lacks_history(database, replayed)
    await replayed["adopted"].insert_one({"_id": {"site": "s", "imports": True}})
    assert not await lacks_history(database, replayed)

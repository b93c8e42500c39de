"""Which groups the readers are not switched to by accident."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from pistats.consumer.groups import GroupError, Groups
from pistats.consumer.promotion import promote_caught_up
from pistats.mongo.indexes import Database, ensure_system_indexes
from pistats.settings import MongoSettings, Settings


@pytest.fixture
async def groups(database: Database) -> AsyncIterator[Groups]:
    """`live` is shown; `fixed` began at the first record, and has nothing to do."""
    settings = Settings(mongodb=MongoSettings(database_prefix=database.name.replace("test_", "t_")))
    system = database.client[settings.database()]
    await ensure_system_indexes(system)
    groups = Groups(system, settings)
    await groups.settle()
    await groups.create("fixed", "trim-horizon")
    await groups.database("fixed")["partitions"].insert_one(
        {"_id": 0, "offset": 0, "start_offset": 0, "caught_up": True, "checked_at": datetime.now(UTC)}
    )
    yield groups
    for name in ("fixed", "live", None):
        await database.client.drop_database(settings.database(name))


async def test_one_that_has_caught_up_is_shown(groups: Groups) -> None:
    assert await promote_caught_up(groups, "fixed") == "live"
    assert await groups.shown() == "fixed"
    with pytest.raises(GroupError, match="no group nobody"):
        await promote_caught_up(groups, "nobody")


async def test_one_that_is_behind_or_has_not_begun_is_shown_only_when_told_so(groups: Groups) -> None:
    partitions = groups.database("fixed")["partitions"]
    await partitions.update_one({"_id": 0}, {"$set": {"caught_up": False, "append_time": 1}})
    with pytest.raises(GroupError, match="not caught up"):
        await promote_caught_up(groups, "fixed")
    await partitions.update_one({"_id": 0}, {"$set": {"append_time": None, "offset": None}})
    with pytest.raises(GroupError, match="not caught up"):
        await promote_caught_up(groups, "fixed")
    assert await groups.shown() == "live"
    await promote_caught_up(groups, "fixed", behind=True)
    assert await groups.shown() == "fixed"


async def test_one_that_lacks_imports_is_shown_only_when_told_so(groups: Groups) -> None:
    await groups.database("live")["imports"].insert_one({"_id": {"site": "s", "start": 0, "digest": "d"}})
    with pytest.raises(GroupError, match="group adopt fixed"):
        await promote_caught_up(groups, "fixed")
    await promote_caught_up(groups, "fixed", without_history=True)
    assert await groups.shown() == "fixed"

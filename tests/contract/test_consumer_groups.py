"""The registry of consumer groups, on a real mongod: made, shown, switched and dropped, each as often as one likes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pistats.consumer.groups import GroupError, Groups, reader_group
from pistats.errors import PositionError
from pistats.mongo.indexes import Database, ensure_system_indexes
from pistats.settings import MongoSettings, Settings


@pytest.fixture
def settings(database: Database) -> Settings:
    return Settings(mongodb=MongoSettings(database_prefix=database.name.replace("test_", "t_")))


@pytest.fixture
async def system(database: Database, settings: Settings) -> AsyncIterator[Database]:
    system = database.client[settings.database()]
    await ensure_system_indexes(system)
    yield system
    for name in await database.client.list_database_names():
        if name.startswith(settings.database()):
            await database.client.drop_database(name)


@pytest.fixture
async def groups(system: Database, settings: Settings) -> Groups:
    groups = Groups(system, settings)
    assert await groups.settle() == "live"
    return groups


async def states(groups: Groups) -> dict[str, str]:
    return {group.name: group.state for group in await groups.list()}


async def test_the_configured_group_is_the_first_and_shown(
    groups: Groups, system: Database, settings: Settings
) -> None:
    await groups.settle()
    (live,) = await groups.list()
    assert (live.name, live.state, live.start_position) == ("live", "live", "trim-horizon")
    assert await reader_group(system, settings) == "live"
    assert "minutes" in await groups.database("live").list_collection_names()


async def test_a_group_made_twice_is_one_shadow_group_with_its_own_database(groups: Groups) -> None:
    made = await asyncio.gather(*(groups.create("fixed", "time:2026-11-23T10:00:00Z") for _ in range(4)))
    again = await groups.create("fixed", "time:2026-11-23T11:00:00+01:00")
    assert {*made, again} == {again}
    assert await states(groups) == {"live": "live", "fixed": "shadow"}
    assert "partitions" in await groups.database("fixed").list_collection_names()


@pytest.mark.parametrize("name", ["", "Big", "1st", "a/b", "a.b", "$a", "x" * 31, "a\n"])
async def test_a_name_that_cannot_be_a_database_is_refused(groups: Groups, name: str) -> None:
    with pytest.raises(GroupError, match="cannot be a group's name"):
        await groups.create(name, "latest")


async def test_a_group_cannot_begin_elsewhere_than_it_did(groups: Groups) -> None:
    await groups.create("fixed", "trim-horizon")
    with pytest.raises(GroupError, match="began at trim-horizon"):
        await groups.create("fixed", "latest")
    with pytest.raises(PositionError):
        await groups.create("other", "somewhere")


async def test_promote_switches_the_readers_and_back(groups: Groups, system: Database, settings: Settings) -> None:
    await groups.create("fixed", "trim-horizon")
    assert await groups.promote("fixed") == "live"
    assert await reader_group(system, settings) == "fixed"
    assert await states(groups) == {"live": "shadow", "fixed": "live"}
    assert await groups.promote("fixed") == "fixed"
    assert await groups.settle() == "fixed"
    assert await groups.promote("live") == "fixed"
    assert await states(groups) == {"live": "live", "fixed": "shadow"}


async def test_an_unknown_group_is_not_promoted(groups: Groups, system: Database, settings: Settings) -> None:
    with pytest.raises(GroupError, match="no group nobody"):
        await groups.promote("nobody")
    assert await reader_group(system, settings) == "live"
    assert await states(groups) == {"live": "live"}


async def test_drop_removes_database_files_and_registration_in_this_order(groups: Groups) -> None:
    await groups.create("fixed", "trim-horizon")
    removed: list[tuple[str, bool]] = []

    async def remove_files(name: str) -> None:
        removed.append((name, await groups.find("fixed") is not None))
        if len(removed) == 1:
            raise OSError("died here")

    assert not await groups.finish_drop("fixed", remove_files)
    await groups.drop("fixed")
    await groups.drop("fixed")
    assert await states(groups) == {"live": "live", "fixed": "dropping"}
    with pytest.raises(GroupError, match="being dropped"):
        await groups.create("fixed", "trim-horizon")
    with pytest.raises(GroupError):
        await groups.promote("fixed")
    with pytest.raises(OSError, match="died here"):
        await groups.finish_drop("fixed", remove_files)
    assert await groups.finish_drop("fixed", remove_files)
    assert not await groups.finish_drop("fixed", remove_files)
    assert removed == [("fixed", True), ("fixed", True)]
    assert await groups.database("fixed").list_collection_names() == []
    await groups.drop("fixed")
    assert (await groups.create("fixed", "latest")).start_position == "latest"


async def test_the_group_that_the_readers_show_is_not_dropped(groups: Groups) -> None:
    with pytest.raises(GroupError, match="promote another group first"):
        await groups.drop("live")
    await groups.create("fixed", "trim-horizon")
    await groups.promote("fixed")
    await groups.drop("live")
    assert await groups.finish_drop("live")
    assert await groups.settle() == "fixed"
    assert await states(groups) == {"fixed": "live"}


async def test_of_a_promotion_and_a_drop_at_once_only_one_happens(
    groups: Groups, system: Database, settings: Settings
) -> None:
    for number in range(5):
        name = f"g{number}"
        await groups.create(name, "trim-horizon")
        await asyncio.gather(groups.promote(name), groups.drop(name), return_exceptions=True)
        shown = await reader_group(system, settings)
        assert (await states(groups))[shown] == "live"
        assert list((await states(groups)).values()).count("live") == 1

"""How far groups have come, read from a real mongod."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pistats.consumer.checkpoints import (
    Standing,
    has_begun,
    holds_unsettled,
    lag_s,
    living,
    slowest_checkpoints,
    standing,
    trouble_of,
)
from pistats.consumer.groups import Group
from pistats.consumer.replay import ReplayProgress, replay_progress
from pistats.mongo.indexes import Database
from pistats.topology import Change, Topology

HOUR_MS = 3_600_000


async def test_the_log_is_needed_from_the_slowest_checkpoint_of_all_groups_on(database: Database) -> None:
    other = database.client[f"{database.name}_b"]
    try:
        await database["partitions"].insert_many([{"_id": 0, "offset": 50}, {"_id": 1, "offset": 7}])
        await other["partitions"].insert_many([{"_id": 0, "offset": 20}, {"_id": 1, "offset": 9}])
        assert await slowest_checkpoints([(database, True), (other, True)], 3) == {0: 20, 1: 7, 2: 0}
        await other["partitions"].update_one({"_id": 0}, {"$set": {"offset": None}})  # it hasn't begun
        assert await slowest_checkpoints([(database, True), (other, True)], 2) == {0: 0, 1: 7}
        assert await slowest_checkpoints([(database, True), (other, False)], 2) == {0: 50, 1: 7}
        assert await slowest_checkpoints([(database, False), (other, False)], 3) == {0: 50, 1: 7}
        assert await slowest_checkpoints([], 2) == {}
    finally:
        await database.client.drop_database(other.name)


async def test_the_lag_is_that_of_the_partition_that_is_furthest_behind(database: Database) -> None:
    now = datetime.now(UTC)
    assert await lag_s(database) == 0.0
    await database["partitions"].insert_many(
        [
            {"_id": 0, "caught_up": True, "checked_at": now, "append_time": 5},
            {"_id": 1, "caught_up": False, "append_time": int((now - timedelta(minutes=5)).timestamp() * 1000)},
            {"_id": 2, "append_time": None},
        ]
    )
    assert 299 < await lag_s(database) < 400


async def test_a_group_has_begun_when_its_start_is_settled_everywhere(database: Database) -> None:
    assert not await has_begun(database)
    await database["partitions"].insert_many([{"_id": 0, "offset": 0}, {"_id": 1, "offset": None}])
    assert not await has_begun(database)
    await database["partitions"].update_one({"_id": 1}, {"$set": {"offset": 3}})
    assert await has_begun(database)


async def test_a_replay_is_finished_when_every_partition_has_been_consumed_to_its_end(database: Database) -> None:
    starts, ends = {0: 10, 1: 0}, {0: 110, 1: 0}
    assert await replay_progress(database, starts, ends) == ReplayProgress(0, 100, False)
    await database["partitions"].insert_many([{"_id": 0, "offset": 60, "start_offset": 20}, {"_id": 1, "offset": None}])
    assert await replay_progress(database, starts, ends) == ReplayProgress(40, 90, False)
    await database["partitions"].update_one({"_id": 0}, {"$set": {"offset": 500}})
    assert await replay_progress(database, starts, ends) == ReplayProgress(90, 90, False)
    await database["partitions"].update_one({"_id": 1}, {"$set": {"offset": 0, "start_offset": 0}})
    assert await replay_progress(database, starts, ends) == ReplayProgress(90, 90, True)


def test_a_group_that_never_begins_holds_back_the_log_for_an_hour() -> None:
    group = Group("fixed", "shadow", "offset:7", HOUR_MS)
    never, changed = Topology(2), Topology(4, 1, (Change(1, 2, 4, (5, 5, 0, 0), 2 * HOUR_MS),))
    assert holds_unsettled(group, never, 2 * HOUR_MS - 1)
    assert not holds_unsettled(group, never, 2 * HOUR_MS)
    assert holds_unsettled(replace(group, state="live"), never, 9 * HOUR_MS)
    assert holds_unsettled(group, changed, 3 * HOUR_MS - 1)
    assert not holds_unsettled(group, changed, 3 * HOUR_MS)


async def test_a_group_that_cannot_begin_says_why(database: Database) -> None:
    group = Group("fixed", "shadow", "offset:7", 0)
    now = datetime.now(UTC)
    assert trouble_of(group, await standing(database)) is None
    await database["partitions"].insert_one({"_id": 1, "offset": None})
    await database["members"].insert_many(
        [
            {"_id": "a", "expires_at": now + timedelta(minutes=1), "errors": {"1": "PositionError: trimmed."}},
            {"_id": "dead", "expires_at": now - timedelta(minutes=1), "errors": {"0": "long ago"}},
        ]
    )
    assert await living(database) == 1
    stands = await standing(database)
    assert stands == Standing(None, "partition 1: PositionError: trimmed.")
    trouble = trouble_of(group, stands)
    assert trouble is not None
    assert trouble.startswith("cannot begin at offset:7: partition 1: PositionError: trimmed. ")
    assert "pistats group drop fixed" in trouble
    await database["partitions"].update_one({"_id": 1}, {"$set": {"offset": 7}})
    assert trouble_of(group, await standing(database)) == "cannot go on: partition 1: PositionError: trimmed."

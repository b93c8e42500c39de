"""How far groups have come, read from a real mongod."""

from datetime import UTC, datetime, timedelta

from pistats.consumer.checkpoints import has_begun, lag_s, slowest_checkpoints
from pistats.consumer.replay import ReplayProgress, replay_progress
from pistats.mongo.indexes import Database


async def test_the_log_is_needed_from_the_slowest_checkpoint_of_all_groups_on(database: Database) -> None:
    other = database.client[f"{database.name}_b"]
    try:
        await database["partitions"].insert_many([{"_id": 0, "offset": 50}, {"_id": 1, "offset": 7}])
        await other["partitions"].insert_many([{"_id": 0, "offset": 20}, {"_id": 1, "offset": 9}])
        assert await slowest_checkpoints([database, other], 3) == {0: 20, 1: 7, 2: 0}
        await other["partitions"].update_one({"_id": 0}, {"$set": {"offset": None}})  # it hasn't begun
        assert await slowest_checkpoints([database, other], 2) == {0: 0, 1: 7}
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

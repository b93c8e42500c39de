"""The board of the logs' status: posts while someone looks, and none once nobody does."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from pistats.status_board import Posted, StatusBoard
from pistats.stream.partition import PartitionStatus

Database = AsyncDatabase[dict[str, Any]]


def status(partition: int, end_offset: int = 10) -> PartitionStatus:
    """An open log in good health."""
    return PartitionStatus(
        partition=partition,
        state="open",
        stopped_reason=None,
        log="file",
        epoch=1,
        first_offset=0,
        end_offset=end_offset,
        appended=end_offset,
        duplicates=0,
        conflicting_duplicates=0,
        pending_bytes=0,
        segments=1,
        bytes_on_disk=1_234_567,
        oldest_append_time=None,
        last_append_time=None,
        dedupe_ids=10,
        dedupe_bytes=140,
        indexes_rebuilt=0,
        refusing=None,
        cut_bytes=0,
        held_back_segments=0,
        started_time=0,
    )


async def test_a_look_makes_the_posts_wanted_for_a_while(database: Database) -> None:
    board = StatusBoard(database)
    assert not await board.wanted()
    assert await board.look() is None
    assert await board.wanted()
    await database.system_status.update_one({"_id": "wanted"}, [{"$set": {"until": "$$NOW"}}])
    assert not await board.wanted()


async def test_a_post_is_read_back_with_its_age(database: Database) -> None:
    board = StatusBoard(database)
    await board.post([status(0), None])
    posted = await board.look()
    assert posted is not None
    assert posted.logs == (status(0), None)
    assert posted.fresh
    assert not Posted((), 60_000).fresh


async def test_a_post_of_another_version_says_nothing(database: Database) -> None:
    board = StatusBoard(database)
    await board.post([status(0)])
    await database.system_status.update_one({"_id": "logs"}, {"$set": {"partitions.0.something_new": 1}})
    posted = await board.look()
    assert posted is not None
    assert posted.logs == (None,)

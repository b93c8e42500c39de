"""The commit in a real MongoDB: all or nothing, once, and only by who holds the partition."""

from dataclasses import replace
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.consumer.commit import Committer, Flush
from pistats.consumer.lease import NEVER, Lease, LeaseStore
from pistats.consumer.tally import Tally
from pistats.errors import FencedError, UnavailableError
from pistats.mongo.indexes import ensure_group_indexes

Database = AsyncDatabase[dict[str, Any]]
MINUTE = 60_000


@pytest.fixture
async def leases(database: Database) -> LeaseStore:
    await ensure_group_indexes(database, 3_600)
    store = LeaseStore(database, lease_s=30)
    await store.declare(0)
    return store


@pytest.fixture
def committer(database: Database, leases: LeaseStore) -> Committer:
    return Committer(database, leases, timeout_s=10)


async def lease_at_zero(leases: LeaseStore, owner: str = "a") -> Lease:
    lease = await leases.acquire(0, owner)
    assert lease is not None
    await leases.renew(lease, fields={"offset": 0})
    return lease


def flush_of(lease: Lease, first: int = 0, end: int = 10, views: int = 10) -> Flush:
    return Flush(
        lease=lease,
        from_offset=first,
        to_offset=end,
        append_time=MINUTE + end,
        caught_up=True,
        documents={
            "minutes": [{"_id": {"site": "s", "minute": 0, "partition": 0}, "views": views}],
            "dead_letters": [{"_id": {"partition": 0, "offset": end - 1}, "reason": "exception"}],
            "feed": [],
        },
        chunks=[{"_id": {"partition": 0, "first_offset": first}, "events": end - first - 1}],
        ledger={MINUTE: Tally(end - first - 2, 1, 1, duplicates=2, first_offset=first, end_offset=end)},
        duplicates=end,
    )


async def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    names = ("partitions", "minutes", "feed", "dead_letters", "ledger", "chunks")
    return {name: await database[name].find().sort("_id").to_list() for name in names}


async def test_a_flush_writes_everything_and_moves_the_checkpoint(
    database: Database, leases: LeaseStore, committer: Committer
) -> None:
    await committer.commit(flush_of(await lease_at_zero(leases)))

    stored = await everything(database)
    partition = stored["partitions"][0]
    assert (partition["offset"], partition["append_time"], partition["caught_up"]) == (10, MINUTE + 10, True)
    assert partition["counts"] == {"enriched": 8, "bots": 1, "dead_lettered": 1, "erased": 0}
    assert partition["duplicates"] == 10
    assert partition["committed_at"] == partition["checked_at"] < partition["expires_at"]
    assert stored["minutes"] == [{"_id": {"site": "s", "minute": 0, "partition": 0}, "views": 10}]
    assert stored["ledger"] == [
        {
            "_id": {"partition": 0, "minute": MINUTE},
            **{"consumed": 10, "enriched": 8, "bots": 1, "dead_lettered": 1, "erased": 0, "duplicates": 2},
            **{"first_offset": 0, "end_offset": 10},
        }
    ]
    assert stored["chunks"] == [{"_id": {"partition": 0, "first_offset": 0}, "events": 9}]
    assert len(stored["dead_letters"]) == 1


async def test_the_same_flush_again_is_fenced_and_doubles_nothing(
    database: Database, leases: LeaseStore, committer: Committer
) -> None:
    flush = flush_of(await lease_at_zero(leases))
    await committer.commit(flush)
    before = await everything(database)
    with pytest.raises(FencedError, match="nothing was written"):
        await committer.commit(flush)
    assert await everything(database) == before


async def test_flushes_add_up_in_the_ledger_and_replace_buckets(
    database: Database, leases: LeaseStore, committer: Committer
) -> None:
    lease = await lease_at_zero(leases)
    await committer.commit(flush_of(lease, 0, 10, views=10))
    await committer.commit(flush_of(lease, 10, 15, views=15))
    stored = await everything(database)
    (row,) = stored["ledger"]
    assert (row["consumed"], row["duplicates"], row["first_offset"], row["end_offset"]) == (15, 4, 0, 15)
    assert [bucket["views"] for bucket in stored["minutes"]] == [15]
    assert stored["partitions"][0]["counts"] == {"enriched": 11, "bots": 2, "dead_lettered": 2, "erased": 0}


async def test_a_flush_that_skips_records_is_refused(
    database: Database, leases: LeaseStore, committer: Committer
) -> None:
    lease = await lease_at_zero(leases)
    before = await everything(database)
    with pytest.raises(FencedError):
        await committer.commit(flush_of(lease, first=5, end=10))
    assert await everything(database) == before


async def test_an_older_epoch_writes_nothing(database: Database, leases: LeaseStore, committer: Committer) -> None:
    old = await lease_at_zero(leases)
    await database["partitions"].update_one({"_id": 0}, {"$set": {"expires_at": NEVER}})
    new = await lease_at_zero(leases, "b")
    before = await everything(database)
    with pytest.raises(FencedError):
        await committer.commit(flush_of(old))
    assert await everything(database) == before
    await committer.commit(flush_of(new))


async def test_a_lease_that_ran_out_writes_nothing(
    database: Database, leases: LeaseStore, committer: Committer
) -> None:
    lease = await lease_at_zero(leases)
    await database["partitions"].update_one({"_id": 0}, {"$set": {"expires_at": NEVER}})
    before = await everything(database)
    with pytest.raises(FencedError):
        await committer.commit(flush_of(lease))
    assert await everything(database) == before


async def test_one_write_that_fails_takes_the_whole_flush_with_it(
    database: Database, leases: LeaseStore, committer: Committer
) -> None:
    lease = await lease_at_zero(leases)
    await database.command("collMod", "minutes", validator={"views": {"$lt": 1_000}})
    before = await everything(database)
    try:
        with pytest.raises(UnavailableError, match="offsets 0 to 10 were not committed"):
            await committer.commit(replace(flush_of(lease, views=1_000)))
        assert await everything(database) == before
    finally:
        await database.command("collMod", "minutes", validator={})
    await committer.commit(flush_of(lease, views=1_000))

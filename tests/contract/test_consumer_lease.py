"""Leases in a real MongoDB: one holder at a time, by the server's clock, every acquisition a new epoch."""

import asyncio
from typing import Any

import pytest
from bson.binary import UUID_SUBTYPE, Binary
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from pistats.consumer.lease import NEVER, Lease, LeaseStore
from pistats.errors import FencedError

Database = AsyncDatabase[dict[str, Any]]


async def expire(database: Database, partition: int) -> None:
    """Time passes: the lease of `partition` ran out long ago."""
    await database["partitions"].update_one({"_id": partition}, {"$set": {"expires_at": NEVER}})


async def held(leases: LeaseStore, partition: int, owner: str) -> Lease:
    lease = await leases.acquire(partition, owner)
    assert lease is not None
    return lease


@pytest.fixture
async def leases(database: Database) -> LeaseStore:
    store = LeaseStore(database, lease_s=30)
    await store.declare(0)
    await store.declare(0)
    return store


async def test_a_free_partition_has_one_taker(leases: LeaseStore) -> None:
    taken = await asyncio.gather(*(leases.acquire(0, f"consumer-{number}") for number in range(8)))
    assert [lease.epoch for lease in taken if lease is not None] == [1]


async def test_a_partition_that_nobody_declared_cannot_be_taken(leases: LeaseStore) -> None:
    assert await leases.acquire(7, "a") is None


async def test_a_lease_that_ran_out_goes_to_another_with_a_higher_epoch(leases: LeaseStore, database: Database) -> None:
    old = await held(leases, 0, "a")
    assert await leases.free() == []
    await expire(database, 0)
    assert await leases.free() == [0]
    new = await held(leases, 0, "b")
    assert new.epoch == old.epoch + 1
    with pytest.raises(FencedError):
        await leases.renew(old)
    await leases.renew(new)


async def test_a_lease_that_ran_out_cannot_be_renewed_even_if_nobody_took_it(
    leases: LeaseStore, database: Database
) -> None:
    lease = await held(leases, 0, "a")
    await expire(database, 0)
    with pytest.raises(FencedError):
        await leases.renew(lease)


async def test_an_owner_that_comes_back_has_its_partition_at_once_and_fences_its_earlier_life(
    leases: LeaseStore,
) -> None:
    before = await held(leases, 0, "a")
    assert await leases.held_by("a") == [0]
    after = await held(leases, 0, "a")
    assert after.epoch == before.epoch + 1
    with pytest.raises(FencedError):
        await leases.renew(before)


async def test_a_released_partition_is_free_at_once(leases: LeaseStore) -> None:
    await leases.release(await held(leases, 0, "a"))
    assert await leases.acquire(0, "b") is not None


async def test_releasing_a_lost_lease_takes_nothing_from_the_new_owner(leases: LeaseStore, database: Database) -> None:
    old = await held(leases, 0, "a")
    await expire(database, 0)
    new = await held(leases, 0, "b")
    await leases.release(old)
    await leases.renew(new)
    assert await leases.acquire(0, "c") is None


async def test_an_owners_name_is_data_not_an_expression(leases: LeaseStore) -> None:
    assert (await held(leases, 0, "$epoch")).owner == "$epoch"
    assert await leases.held_by("$epoch") == [0]


async def test_a_takeover_does_not_wait_for_the_transaction_that_a_dead_owner_left_open(
    leases: LeaseStore, database: Database
) -> None:
    async with database.client.start_session() as session:
        await leases.acquire(0, "dead", session.session_id["id"])
        await session.start_transaction()
        await database["partitions"].update_one({"_id": 0}, {"$set": {"offset": 99}}, session=session)

        async with asyncio.timeout(20):  # MongoDB itself would end it after a minute
            assert await held(leases, 0, "dead") == Lease(0, "dead", 2, None)
        with pytest.raises(OperationFailure):
            await session.commit_transaction()


@pytest.mark.parametrize(
    ("owner", "session", "life", "died"),
    [
        ("a", b"2", "2", True),  # a later process of the same name
        ("b", b"2", "2", True),  # another's lease ran out
        ("a", b"1", "1", False),  # the same one, again
        ("a", b"2", "1", False),  # another task of the same process
    ],
)
async def test_an_owner_of_another_process_that_said_no_word_has_perhaps_died(
    leases: LeaseStore, database: Database, owner: str, session: bytes, life: str, died: bool
) -> None:
    await leases.acquire(0, "a", session_of(b"1"), "1")
    await expire(database, 0)
    taken = await leases.acquire(0, owner, session_of(session), life)
    assert taken is not None
    assert taken.died is died


def session_of(byte: bytes) -> Binary:
    return Binary(byte * 16, UUID_SUBTYPE)

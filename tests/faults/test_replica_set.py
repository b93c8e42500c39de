"""A primary that dies, and one that stops answering, under a running consumer: another one goes on, and all adds up."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.mongo.client import connect
from pistats.stream.partition import StreamPartition
from tests.faults.replica_set import ReplicaSet, three_members
from tests.faults.test_consumer_worker import (  # noqa: F401
    all_of,
    append,
    consuming,
    counted,
    partition,
    prepare,
    until,
    view,
)

pytestmark = pytest.mark.faults

LEASE_S = 4.0
"""So that a commit without an answer is given up after two seconds."""
BEFORE, DURING, AFTER = 300, 300, 300


@pytest.fixture(scope="module")
def replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with three_members(tmp_path_factory.mktemp("replica-set")) as running:
        yield running


@asynccontextmanager
async def appending(partition: StreamPartition, first: int, events: int) -> AsyncIterator[None]:  # noqa: F811
    """Events come in all the while, as they do: in pieces of ten."""

    async def pieces() -> None:
        for number in range(first, first + events, 10):
            await append(partition, [view(number + one) for one in range(10)])
            await asyncio.sleep(0.02)

    task = asyncio.create_task(pieces())
    yield
    await task


async def through_a_failover(
    partition: StreamPartition,  # noqa: F811
    replica_set: ReplicaSet,
    name: str,
    how: signal.Signals,
) -> tuple[int, AsyncDatabase[dict[str, Any]]]:
    """Consume before, during and after the loss of the primary. Gives the port of the one that was lost."""
    client = connect(replica_set.uri)
    database = client[name]
    await prepare(database)
    lost = await asyncio.to_thread(replica_set.primary)
    async with consuming(partition, database, lease_s=LEASE_S) as consumer:
        async with appending(partition, 0, BEFORE + DURING):
            await until(lambda: consumer.status.committed_events >= BEFORE / 2)
            replica_set.signal(lost, how)
        await asyncio.to_thread(replica_set.primary, but=lost)
        async with appending(partition, BEFORE + DURING, AFTER):
            pass
        await until(lambda: consumer.status.offset == BEFORE + DURING + AFTER)
        assert consumer.status.lag_events == 0
    return lost, database


async def test_a_primary_that_is_killed_loses_and_doubles_nothing(
    partition: StreamPartition,  # noqa: F811
    replica_set: ReplicaSet,
) -> None:
    lost, database = await through_a_failover(partition, replica_set, "killed", signal.SIGKILL)
    try:
        assert await counted(database) == all_of(views=BEFORE + DURING + AFTER)
    finally:
        await asyncio.to_thread(replica_set.restart, lost)
        await database.client.close()


async def test_a_primary_that_stops_answering_and_wakes_up_loses_and_doubles_nothing(
    partition: StreamPartition,  # noqa: F811
    replica_set: ReplicaSet,
) -> None:
    lost, database = await through_a_failover(partition, replica_set, "paused", signal.SIGSTOP)
    try:
        replica_set.signal(lost, signal.SIGCONT)
        await asyncio.to_thread(replica_set.primary, but=lost)
        assert await counted(database) == all_of(views=BEFORE + DURING + AFTER)
        async with consuming(partition, database, lease_s=LEASE_S) as consumer:  # and goes on with all three
            await append(partition, [view(one) for one in range(10)])
            await until(lambda: consumer.status.offset == BEFORE + DURING + AFTER + 10)
        assert await counted(database) == all_of(views=BEFORE + DURING + AFTER + 10)
    finally:
        await database.client.close()

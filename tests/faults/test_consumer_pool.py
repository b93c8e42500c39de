"""The pool: fair shares, hand-overs, and a dead member's partitions taken over."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.consumer.pool import GroupMember, fair_share
from pistats.consumer.transform import Transform
from pistats.consumer.worker import PartitionConsumer
from pistats.mongo.indexes import ensure_group_indexes
from pistats.settings import ConsumerSettings, LiveSettings
from pistats.stream.batch import Fetched

pytestmark = pytest.mark.faults

Database = AsyncDatabase[dict[str, Any]]
PARTITIONS = 5


async def nothing(partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
    """A partition without records."""
    await asyncio.sleep(wait_s)
    return Fetched([], offset, offset, None)


class Group:
    """Members of one group in this process, each with its own loop task."""

    def __init__(self, database: Database, lease_s: float) -> None:
        self._database = database
        self._settings = ConsumerSettings(lease_s=lease_s)
        self._transform = Transform(lambda payloads, partition, offsets: [])
        self.members: dict[str, tuple[GroupMember, asyncio.Task[None]]] = {}

    def join(self, name: str) -> None:
        member = GroupMember(
            name,
            lambda: PARTITIONS,
            database=self._database,
            lease_s=self._settings.lease_s,
            make=self._worker,
            life=self._transform.danger.life,
        )
        self.members[name] = (member, asyncio.create_task(member.run()))

    def _worker(self, partition: int, owner: str) -> PartitionConsumer:
        return PartitionConsumer(
            partition,
            owner,
            fetch=nothing,
            database=self._database,
            consumers=self._settings,
            live=LiveSettings(),
            transform=self._transform,
        )

    async def leave(self, name: str) -> None:
        member, task = self.members.pop(name)
        member.stop()
        await task

    async def kill(self, name: str) -> None:
        """Gone without a word, as by SIGKILL."""
        _, task = self.members.pop(name)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def held(self) -> dict[str, list[int]]:
        return {name: [one.partition for one in member.status.workers] for name, (member, _) in self.members.items()}

    def settled(self, *shares: int) -> bool:
        """Every partition is consumed by exactly one member, and the shares are these."""
        held = self.held()
        partitions = sorted(partition for some in held.values() for partition in some)
        return partitions == list(range(PARTITIONS)) and sorted(map(len, held.values())) == sorted(shares)


@asynccontextmanager
async def group_of(database: Database, lease_s: float = 30) -> AsyncIterator[Group]:
    await ensure_group_indexes(database, 3_600)
    group = Group(database, lease_s)
    yield group
    for name in list(group.members):
        await group.leave(name)


async def until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_one_member_takes_everything_and_gives_half_to_a_second(database: Database) -> None:
    async with group_of(database) as group:
        group.join("a")
        await until(lambda: group.settled(5))
        group.join("b")
        await until(lambda: group.settled(3, 2))


async def test_a_member_that_leaves_hands_over_at_once(database: Database) -> None:
    async with group_of(database, lease_s=600) as group:
        group.join("a")
        group.join("b")
        await until(lambda: group.settled(3, 2))
        await group.leave("a")
        await until(lambda: group.settled(5))


async def test_a_dead_members_partitions_are_taken_over_when_its_lease_has_run_out(database: Database) -> None:
    async with group_of(database, lease_s=3) as group:
        group.join("a")
        group.join("b")
        await until(lambda: group.settled(3, 2))
        await group.kill("a")
        await until(lambda: group.settled(5))


async def test_a_member_that_comes_back_under_its_name_does_not_wait_for_its_old_leases(database: Database) -> None:
    async with group_of(database, lease_s=600) as group:
        group.join("a")
        await until(lambda: group.settled(5))
        await group.kill("a")
        group.join("a")
        await until(lambda: group.settled(5))


async def test_more_members_than_partitions_leave_some_idle(database: Database) -> None:
    async with group_of(database) as group:
        for name in "abcdef":
            group.join(name)
        await until(lambda: group.settled(1, 1, 1, 1, 1, 0))


@pytest.mark.parametrize("partitions", [0, 1, 4, 64])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_fair_shares_add_up_and_differ_by_one_at_most(partitions: int, count: int) -> None:
    members = [f"consumer-{number}" for number in range(count)]
    shares = [fair_share(name, members, partitions) for name in members]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1

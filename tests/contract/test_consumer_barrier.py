"""What was stored after a change of the layout waits until everything before it is consumed."""

import pytest

from pistats.consumer.barrier import Barriers
from pistats.mongo.indexes import Database
from pistats.topology import Change, Resizing, Topology
from pistats.topology_cache import TopologyCache

CHANGES = (Change(1, 2, 4, (10, 20, 0, 0), 1), Change(2, 4, 2, (11, 25, 7, 0), 2))
TWICE = Topology(2, 2, CHANGES)


class Stored:
    """What MongoDB would give, and how often it was asked."""

    def __init__(self, known: Topology, *later: Topology) -> None:
        self.later = list(later)
        self.cache = TopologyCache(self.load, known)

    async def load(self) -> Topology:
        return self.later.pop(0)


async def consumed(group: Database, *offsets: int | None) -> None:
    for partition, offset in enumerate(offsets):
        await group["partitions"].update_one({"_id": partition}, {"$set": {"offset": offset}}, upsert=True)


async def test_without_a_change_nothing_waits(database: Database) -> None:
    assert await Barriers(0, database, Stored(Topology(2)).cache).held_from(5, 0) is None


async def test_a_replay_from_the_beginning_stops_at_every_cut(database: Database) -> None:
    partition = Barriers(1, database, Stored(TWICE).cache)
    assert await partition.held_from(0, 2) == 20
    assert await partition.held_from(20, 2) == 20
    await consumed(database, None, 20)
    assert await partition.held_from(20, 2) == 20
    await consumed(database, 10, 20)
    assert await partition.held_from(20, 2) == 25
    await consumed(database, 11, 25)
    assert await partition.held_from(25, 2) == 25  # partition 2 has 7 records of the layout between
    await consumed(database, 11, 25, 7)
    assert await partition.held_from(25, 2) is None


async def test_a_partition_that_a_change_made_waits_from_its_first_record(database: Database) -> None:
    partition = Barriers(2, database, Stored(TWICE).cache)
    await consumed(database, 10, 19)
    assert await partition.held_from(0, 1) == 0
    await consumed(database, 10, 20)
    assert await partition.held_from(0, 1) == 7


async def test_visitors_are_settled_once_every_partition_is_consumed_up_to_the_newest_cut(database: Database) -> None:
    under_way = Topology(2, 2, CHANGES, Resizing(3, 3))
    stored = Stored(Topology(2), Topology(2), under_way, TWICE, TWICE)
    partition = Barriers(0, database, stored.cache)
    assert await partition.settled() == 0
    await consumed(database, 11, 25, 6)
    assert await partition.settled() is None, "another change is under way"
    assert await partition.settled() is None, "partition 2 has a record of before the change"
    await consumed(database, 11, 25, 7)
    assert await partition.settled() == 2


async def test_a_consumer_that_begins_behind_the_cuts_waits_for_the_others(database: Database) -> None:
    await consumed(database, 11, 25, 7)
    assert await Barriers(0, database, Stored(TWICE).cache).held_from(40, 2) is None


@pytest.mark.parametrize(
    ("later", "held"),
    [(TWICE, 20), (Topology(2, resizing=Resizing(4, 1)), None)],
    ids=["published", "not yet: nothing of it can be stored"],
)
async def test_records_of_an_unknown_layout_ask_for_the_topology(
    database: Database, later: Topology, held: int | None
) -> None:
    stored = Stored(Topology(2), later)
    partition = Barriers(1, database, stored.cache)
    assert await partition.held_from(5, 0) is None
    assert stored.later == [later]
    assert await partition.held_from(5, 1) == held
    assert stored.later == []

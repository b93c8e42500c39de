"""The layout: where a bucket lives, where it lived, and what has to be consumed before what."""

from hypothesis import given
from hypothesis import strategies as st

from pistats.settings import BUCKETS
from pistats.topology import Change, Resizing, Topology
from pistats.topology_cache import TopologyCache

DAY = 86_400_000

GROWN = Topology(4, 1, (Change(1, 2, 4, (10, 20, 0, 0), 1_000),))
THERE_AND_BACK = Topology(2, 2, (Change(1, 2, 4, (10, 20, 0, 0), 1_000), Change(2, 4, 2, (11, 25, 7, 8), 2_000)))


def test_a_document_of_a_version_without_changes_is_the_first_layout() -> None:
    assert Topology.from_document({"_id": "stream", "partitions": 2}) == Topology(2)


def test_a_document_is_read_as_it_is() -> None:
    change = {"epoch": 1, "partitions_before": 2, "partitions": 3, "ends": [5, 6, 0], "time": 9}
    document = {"partitions": 3, "epoch": 1, "changes": [change], "resizing": {"to": 4, "epoch": 2}}
    assert Topology.from_document(document) == Topology(3, 1, (Change(1, 2, 3, (5, 6, 0), 9),), Resizing(4, 2))


def test_the_former_home_of_a_bucket_is_forgotten_with_the_window() -> None:
    assert (GROWN.partition_of(3), GROWN.former_partitions(3, 1_000)) == (3, (1,))
    assert GROWN.former_partitions(1, 1_000) == ()  # it stayed where it was
    assert GROWN.former_partitions(3, 1_001) == ()
    assert GROWN.moved_buckets(1_001) == {}
    assert GROWN.moved_buckets(1_000).keys() == {bucket for bucket in range(BUCKETS) if bucket % 4 > 1}


def test_a_bucket_that_came_back_has_been_elsewhere() -> None:
    assert (THERE_AND_BACK.partition_of(3), THERE_AND_BACK.former_partitions(3, 0)) == (1, (3,))
    assert THERE_AND_BACK.former_partitions(3, 1_500) == (3,)
    assert THERE_AND_BACK.former_partitions(1, 0) == ()


def test_partitions_out_of_use_and_to_come_have_logs() -> None:
    assert (Topology(2).actors, GROWN.actors, THERE_AND_BACK.actors) == (2, 4, 4)
    assert Topology(2, resizing=Resizing(8, 1)).actors == 8


def test_a_partition_that_starts_amid_a_change_keeps_to_the_new_layout() -> None:
    assert (Topology(2).sealed_epoch, GROWN.sealed_epoch) == (0, 1)
    assert Topology(2, resizing=Resizing(8, 1)).sealed_epoch == 1


def test_barriers_are_cuts_through_every_log() -> None:
    assert Topology(2).barriers(0) == ()
    assert THERE_AND_BACK.barriers(1) == ((20, (10, 20, 0, 0)), (25, (11, 25, 7, 8)))
    assert THERE_AND_BACK.barriers(9) == ((0, (10, 20, 0, 0)), (0, (11, 25, 7, 8)))  # it came after both


@given(st.lists(st.integers(1, BUCKETS), min_size=1, max_size=6), st.integers(0, BUCKETS - 1), st.integers(0, 6))
def test_a_bucket_was_in_its_home_or_in_a_former_one(sizes: list[int], bucket: int, since: int) -> None:
    """Change k, from `sizes[k - 1]` to `sizes[k]`, is at time k."""
    changes = tuple(Change(k, sizes[k - 1], sizes[k], (), k) for k in range(1, len(sizes)))
    topology = Topology(sizes[-1], len(changes), changes)

    former = topology.former_partitions(bucket, since)

    lived_in = {bucket % size for k, size in enumerate(sizes) if k == len(sizes) - 1 or k + 1 >= since}
    assert {topology.partition_of(bucket), *former} == lived_in
    assert topology.partition_of(bucket) not in former
    assert topology.moved_buckets(since).get(bucket, ()) == former


async def test_the_cache_looks_cheaply_and_never_back() -> None:
    async def newest() -> Topology:
        raise AssertionError("a linearizable read makes MongoDB write")

    seen = [Topology(4, 2), Topology(2, 1)]

    async def glance() -> Topology:
        return seen.pop(0)

    cache = TopologyCache(newest, Topology(2), glance=glance)
    assert (await cache.look()).epoch == 2
    assert (await cache.look()).epoch == 2

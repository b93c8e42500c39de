"""Where a group begins in partitions that came after it."""

import pytest

from pistats.consumer.groups import Group
from pistats.topology import Change, Resizing, Topology

CREATED = 1_000
GROUP = Group("live", "live", "latest", CREATED)
GROWN = (Change(1, 2, 4, (5, 5, 0, 0), 2_000), Change(2, 4, 3, (9, 9, 9, 9), 3_000), Change(3, 3, 5, (9,) * 5, 4_000))


@pytest.mark.parametrize(
    ("topology", "later"),
    [
        (Topology(2), set()),
        (Topology(5, 3, GROWN), {2, 3, 4}),
        (Topology(2, 0, (), Resizing(3, 1)), {2}),
        (Topology(4, 1, (Change(1, 2, 4, (5, 5, 0, 0), 500),)), set()),
    ],
    ids=["never resized", "resized three times", "being resized", "resized before the group"],
)
def test_a_partition_that_came_after_the_group_is_consumed_from_its_first_record(
    topology: Topology, later: set[int]
) -> None:
    assert {partition for partition in range(topology.actors) if GROUP.is_older_than(partition, topology)} == later

"""The supervisor's step: everything is sealed and published, or nothing is sealed."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from pistats.errors import UnavailableError
from pistats.mongo.indexes import Database
from pistats.resize import carry_out
from pistats.topology import Change, Resizing, Topology, load_topology, request_resize, settle_topology


@dataclass
class Status:
    partition: int
    state: str


@dataclass
class Partition:
    """Remembers by which layout it was sealed."""

    number: int
    state: str = "open"
    answers: bool = True
    sealed: list[int] = field(default_factory=list)

    async def status(self) -> Any:
        return Status(self.number, self.state)

    async def seal(self, layout: int) -> int:
        if not self.answers:
            raise UnavailableError("gone")
        self.sealed.append(layout)
        return 10 * self.number


async def test_nothing_happens_unless_it_was_asked_for(database: Database) -> None:
    topology = await settle_topology(database, 2)
    assert not await carry_out(database, topology, Partition)  # type: ignore[arg-type]


async def test_partitions_out_of_use_are_sealed_too(database: Database) -> None:
    partitions = [Partition(number) for number in range(4)]
    for number, time in ((4, 1), (1, 2)):
        await settle_topology(database, 2)
        asked = await request_resize(database, number)
        assert await carry_out(database, asked, partitions.__getitem__, lambda: time)  # noqa: B023
        assert not await carry_out(database, asked, partitions.__getitem__)  # a second supervisor, late
    changes = (Change(1, 2, 4, (0, 10, 20, 30), 1), Change(2, 4, 1, (0, 10, 20, 30), 2))
    assert await load_topology(database) == Topology(1, 2, changes)
    assert [one.sealed for one in partitions] == [[1, 1, 2, 2]] * 4


async def test_nothing_is_sealed_while_a_partition_stores_nothing(database: Database) -> None:
    await settle_topology(database, 2)
    asked = await request_resize(database, 3)
    partitions = [Partition(0), Partition(1, state="stopped"), Partition(2)]
    with pytest.raises(UnavailableError, match="partition 1 is stopped"):
        await carry_out(database, asked, partitions.__getitem__)
    assert not any(one.sealed for one in partitions)

    partitions[1] = Partition(1, answers=False)
    with pytest.raises(UnavailableError, match="gone"):
        await carry_out(database, asked, partitions.__getitem__)
    assert (await load_topology(database)).resizing == Resizing(3, 1)

    partitions[1].answers = True
    assert await carry_out(database, asked, partitions.__getitem__)
    assert (await load_topology(database)).partitions == 3

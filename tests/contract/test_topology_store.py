"""The stored topology: asked for once, published once, whoever else tries."""

import asyncio

import pytest

from pistats.errors import UnavailableError
from pistats.mongo.indexes import Database
from pistats.topology import (
    Change,
    ResizeError,
    Resizing,
    Topology,
    load_topology,
    publish_resize,
    request_resize,
    settle_topology,
)


async def test_the_first_start_settles_it(database: Database) -> None:
    with pytest.raises(UnavailableError, match="start the system"):
        await load_topology(database)
    settled = await asyncio.gather(*(settle_topology(database, wanted) for wanted in (3, 3, 3)))
    assert set(settled) == {Topology(3)}
    assert await settle_topology(database, 5) == Topology(3)
    assert await load_topology(database, newest=True) == Topology(3)


@pytest.mark.parametrize("of_an_older_version", [False, True])
async def test_a_change_is_asked_for_and_published_once(database: Database, of_an_older_version: bool) -> None:
    if of_an_older_version:
        await database["settings"].insert_one({"_id": "stream", "partitions": 2})
    else:
        await settle_topology(database, 2)

    asked = await asyncio.gather(*(request_resize(database, 4) for _ in range(4)))
    assert set(asked) == {Topology(2, resizing=Resizing(4, 1))}
    with pytest.raises(ResizeError, match="being resized to 4"):
        await request_resize(database, 3)

    published = await asyncio.gather(
        *(publish_resize(database, Resizing(4, 1), 2, [10 + n, 20, 0, 0], n) for n in range(3))
    )
    assert sorted(published) == [False, False, True]
    number = published.index(True)
    change = Change(1, 2, 4, (10 + number, 20, 0, 0), number)
    assert await load_topology(database) == Topology(4, 1, (change,))
    assert not await publish_resize(database, Resizing(4, 1), 2, [0, 0, 0, 0], 9)

    assert await request_resize(database, 4) == Topology(4, 1, (change,))
    assert (await request_resize(database, 2)).resizing == Resizing(2, 2)


@pytest.mark.parametrize("number", [0, -1, 65])
async def test_a_number_that_there_cannot_be_is_refused(database: Database, number: int) -> None:
    await settle_topology(database, 2)
    with pytest.raises(ResizeError, match="1 to 64"):
        await request_resize(database, number)

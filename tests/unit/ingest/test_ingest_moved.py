"""Ingest while the number of partitions changes: every record finds its home, and what is known stays known."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from pistats.errors import OverloadedError, RetryableError, UnavailableError
from pistats.identity import bucket_of
from pistats.ingest.accept import Ingest, IngestAnswer, IngestRequest
from pistats.ingest.batcher import MicroBatcher, MovedError
from pistats.ingest.retry import RetryPolicy
from pistats.ingest.routes import Router
from pistats.ingest.salts import DailySalts
from pistats.ingest.site_cache import SiteCache
from pistats.settings import IngestSettings
from pistats.sites import Site, hash_key
from pistats.stream.batch import Appended, Batch
from pistats.topology import Change, Topology
from pistats.topology_cache import TopologyCache

NOW = 1_795_000_000_000
DAY_S = 86_400
SITE = Site("s", "UTC", hash_key("key"), hash_key("read"), (), True, 0)
GROWN = Topology(4, 1, (Change(1, 2, 4, (0, 0, 0, 0), NOW),))


class Partition:
    """Stores by key, and keeps to a layout as a real one does."""

    def __init__(self) -> None:
        self.layout = 0
        self.batches: list[Batch] = []
        self.stored: dict[bytes, bytes] = {}
        self.failure: Exception | None = None

    async def append(self, batch: Batch) -> Appended:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.batches.append(batch)
        looks_only = batch.layout < self.layout
        duplicates, moved = [], []
        for index, (key, payload) in enumerate(zip(batch.keys, batch.payloads, strict=True)):
            if key in self.stored:
                duplicates.append(index)
            elif looks_only:
                moved.append(index)
            else:
                self.stored[key] = payload
        return Appended(0, duplicates, 1, moved)


class System:
    """Four partitions, two of them in use at first, and one ingest that learns of a change from partitions only."""

    def __init__(self, **limits: Any) -> None:
        self.topology = Topology(2)
        self.loads = 0
        self.clock = NOW
        self.partitions = [Partition() for _ in range(4)]
        settings = IngestSettings(**limits)

        async def load() -> Topology:
            self.loads += 1
            return self.topology

        async def sites() -> list[Site]:
            return [SITE]

        def batcher(partition: int, layout: int) -> MicroBatcher:
            retry = RetryPolicy(0.001, 0.002)
            return MicroBatcher(partition, self.partitions[partition].append, settings, retry, layout=layout)

        self.router = Router(TopologyCache(load, self.topology, refresh_s=3_600), batcher, DAY_S)
        self.ingest = Ingest(SiteCache(sites, 60), DailySalts(NoSalts()), self.router, settings, lambda: self.clock)

    def seal(self) -> None:
        for partition in self.partitions:
            partition.layout = 1

    def publish(self) -> None:
        self.topology = GROWN

    async def send(self, *events: tuple[str, str]) -> IngestAnswer:
        """(event id, visitor) each."""
        body = json.dumps([{"event_id": one, "visitor_id": visitor, "name": "x"} for one, visitor in events]).encode()

        async def read() -> bytes:
            return body

        return await self.ingest.accept(IngestRequest("key", None, None, None, read))

    def where(self) -> dict[str, list[int]]:
        """Event id → the partitions that store it."""
        found: dict[str, list[int]] = {}
        for number, partition in enumerate(self.partitions):
            for key in partition.stored:
                found.setdefault(key.partition(b"\x1f")[2].decode(), []).append(number)
        return found


class NoSalts:
    async def salt(self, day: int) -> bytes:
        return bytes(32)


def visitor(matches: Callable[[int], bool]) -> str:
    return next(name for name in map(str, range(1_000)) if matches(bucket_of("s", name)))


MOVER = visitor(lambda bucket: bucket % 4 == 3)  # from partition 1 to 3
STAYER = visitor(lambda bucket: bucket % 4 == 0)


async def test_without_a_change_nobody_is_asked_twice() -> None:
    system = System()
    await asyncio.gather(*(system.send((f"{number}", MOVER)) for number in range(10)))
    assert system.loads == 0
    assert [len(partition.batches) for partition in system.partitions] == [0, 1, 0, 0]


async def test_what_is_on_its_way_during_a_change_goes_to_the_new_home() -> None:
    system = System()
    assert (await system.send(("old", MOVER))).accepted == 1
    system.seal()

    waiting = asyncio.create_task(system.send(("old", MOVER), ("new", MOVER), ("stays", STAYER), ("new", MOVER)))
    while not system.loads:  # noqa: ASYNC110  # what is waited for has no event
        await asyncio.sleep(0)
    assert not waiting.done()
    system.publish()

    assert await waiting == IngestAnswer(2, 2, [])
    assert system.where() == {"old": [1], "new": [3], "stays": [0]}


async def test_all_who_wait_for_a_change_share_the_reads() -> None:
    system = System()
    system.seal()
    waiting = [asyncio.create_task(system.send((f"{number}", MOVER))) for number in range(50)]
    await asyncio.sleep(0.12)
    assert system.loads <= 4
    system.publish()
    assert [answer.accepted for answer in await asyncio.gather(*waiting)] == [1] * 50


async def test_for_a_day_the_former_home_is_asked_about_visitors_that_moved() -> None:
    system = System()
    await system.send(("before", MOVER), ("stayed", STAYER))
    system.seal()
    system.publish()
    await system.send(("after", MOVER))
    asked = len(system.partitions[1].batches)

    again = await system.send(("before", MOVER), ("stayed", STAYER), ("later", MOVER))
    assert again == IngestAnswer(1, 2, [])
    assert len(system.partitions[1].batches) == asked + 1
    assert system.partitions[1].batches[-1].layout == 0
    assert len(system.partitions[0].batches) == 2

    system.clock = NOW + DAY_S * 1000
    await system.send(("next day", MOVER))
    assert len(system.partitions[1].batches) == asked + 1
    assert system.where() == {"before": [1], "stayed": [0], "after": [3], "later": [3], "next day": [3]}


async def test_nothing_is_stored_while_the_former_home_does_not_answer() -> None:
    system = System(append_timeout_s=0.05)
    system.seal()
    system.publish()
    await system.send(("learns", MOVER))
    system.partitions[1].failure = UnavailableError("restarting")

    with pytest.raises(UnavailableError):
        await system.send(("a", MOVER), ("b", STAYER))

    assert system.where() == {"learns": [3]}


async def test_a_change_that_is_never_published_ends_in_time_and_names_what_is_not_stored() -> None:
    system = System(append_timeout_s=0.1)
    system.partitions[1].layout = 1  # sealed, the other not yet, and the supervisor is gone
    with pytest.raises(RetryableError, match="being changed"):
        await system.send(("a", MOVER))

    answer = await system.send(("a", MOVER), ("b", STAYER))

    assert (answer.accepted, answer.duplicates) == (1, 0)
    assert [(one.index, one.event_id) for one in answer.rejected] == [(0, "a")]
    assert system.where() == {"b": [0]}


async def test_a_full_new_home_refuses_before_anything_is_stored() -> None:
    system = System(max_pending_bytes=1_000_000)
    system.seal()
    system.publish()
    await system.send(("learns", MOVER))
    system.router.route.homes[3].pending_bytes += 1_000_000
    with pytest.raises(OverloadedError):
        await system.send(("a", MOVER), ("b", STAYER))
    system.router.route.homes[3].pending_bytes -= 1_000_000
    assert system.where() == {"learns": [3]}


async def test_each_submission_of_a_batch_learns_what_of_it_has_moved() -> None:
    async def append(batch: Batch) -> Appended:
        return Appended(0, [0, 2], 1, [1, 3])

    batcher = MicroBatcher(0, append, IngestSettings())
    both, known, moved = await asyncio.gather(
        batcher.submit([b"a", b"b"], [b"", b""]),
        batcher.submit([b"c"], [b""]),
        batcher.submit([b"d"], [b""]),
        return_exceptions=True,
    )
    assert isinstance(both, MovedError)
    assert isinstance(moved, MovedError)
    assert (list(both.duplicates), list(both.moved)) == ([0], [1])
    assert known == [0]
    assert (list(moved.duplicates), list(moved.moved)) == ([], [0])
    assert batcher.pending_bytes == 0

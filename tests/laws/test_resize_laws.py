"""However the number of partitions changes: every acknowledged event is stored once and consumed once, in order.

Two real ingests, real logs, the real supervisor's step and real barriers over a real MongoDB. Hypothesis decides who
sends when, which answers are lost, which partitions restart, when the layout changes and how far consumers come.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pistats.consumer import reader
from pistats.consumer.barrier import Barriers
from pistats.consumer.reader import PartitionReader
from pistats.errors import RetryableError, UnavailableError
from pistats.ingest.accept import Ingest, IngestRequest
from pistats.ingest.batcher import MicroBatcher
from pistats.ingest.retry import RetryPolicy
from pistats.ingest.routes import Router
from pistats.ingest.salts import DailySalts
from pistats.ingest.site_cache import SiteCache
from pistats.mongo.indexes import Database
from pistats.resize import carry_out
from pistats.settings import IngestSettings, StreamSettings
from pistats.sites import Site, hash_key
from pistats.stream.batch import Appended, Batch, Fetched
from pistats.stream.file_log import FileLog
from pistats.stream.frame import decode
from pistats.stream.partition import PartitionStatus, StreamPartition
from pistats.stream.simulated_disk import SimulatedDisk
from pistats.topology import Topology, load_topology, request_resize, settle_topology
from pistats.topology_cache import TopologyCache

KEY = "pw_law"
SITE = Site("s", "UTC", hash_key(KEY), hash_key("read"), (), True, 0)
STREAM = StreamSettings(segment_bytes=4_096, disk_high_water=1.0)
INGEST = IngestSettings(append_timeout_s=20)
VISITORS = 12
INGESTS = 2
FIRST_PARTITIONS = 2


@dataclass(frozen=True, slots=True)
class Round:
    """What happens at the same time."""

    senders: Sequence[int]
    """Visitors; each sends a request with its next events, and some that it has sent before."""
    resize_to: int | None
    restarts: Sequence[int]
    lost_answers: int
    """So many appends happen, and their callers are told that nobody knows."""
    consumer_steps: Sequence[int]


rounds = st.lists(
    st.builds(
        Round,
        st.lists(st.integers(0, VISITORS - 1), max_size=6, unique=True),
        st.sampled_from([None, None, 1, 2, 3, 4, 5]),
        st.lists(st.integers(0, 4), max_size=2, unique=True),
        st.sampled_from([0, 0, 1, 3]),
        st.lists(st.integers(0, 4), max_size=4),
    ),
    min_size=2,
    max_size=8,
)


@dataclass
class Stream:
    """All partitions' logs in memory, and what can happen to them."""

    database: Database
    random: Random
    lost_answers: int = 0
    _disks: dict[int, SimulatedDisk] = field(default_factory=dict)
    _partitions: dict[int, StreamPartition] = field(default_factory=dict)
    _former: list[StreamPartition] = field(default_factory=list)

    async def open(self, number: int) -> StreamPartition:
        """As the actor starts: first the log, then the layout. Whoever had the log before is not told."""
        disk = self._disks.setdefault(number, SimulatedDisk(number))
        log = await asyncio.to_thread(FileLog.open, Path("/log"), number, STREAM, disk=disk)
        layout = (await load_topology(self.database, newest=True)).sealed_epoch
        await asyncio.sleep(self.random.choice([0, 0, 0.01, 0.05]))  # until then callers meet the former one
        partition = StreamPartition(number, log, STREAM, layout=layout)
        former = self._partitions.get(number)
        if former is not None and former.status().epoch > log.epoch:  # opened later: that one has the log
            self._former.append(partition)
            return former
        if former is not None:
            self._former.append(former)
        self._partitions[number] = partition
        return partition

    def __len__(self) -> int:
        return len(self._partitions)

    async def append(self, number: int, batch: Batch) -> Appended:
        answer = await self._partitions[number].append(batch)
        if self.lost_answers > 0:
            self.lost_answers -= 1
            raise UnavailableError("the answer was lost")
        return answer

    async def fetch(self, number: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        return await self._partitions[number].fetch(offset, max_bytes, 0)

    def __getitem__(self, number: int) -> StreamPartition:
        return self._partitions[number]

    async def supervise(self) -> None:
        """The supervisor's rounds, until no change is under way."""
        while (topology := await load_topology(self.database)).resizing is not None:
            for number in range(topology.actors):
                if number not in self._partitions:
                    await self.open(number)
            with suppress(UnavailableError):
                await carry_out(self.database, topology, lambda number: Supervised(self, number))

    async def stored(self) -> list[tuple[int, int, str]]:
        """(partition, offset, event id) of every record."""
        found = []
        for number in self._partitions:
            fetched = await self.fetch(number, 0, 100_000_000, 0)
            records = [record for frame in fetched.frames for record in decode(frame)]
            found += [(number, record.offset, orjson.loads(record.payload)["event_id"]) for record in records]
        return found

    async def close(self) -> None:
        for partition in (*self._partitions.values(), *self._former):
            await partition.close()


@dataclass
class Supervised:
    """A partition as the supervisor sees it: it may restart as soon as it is sealed, and the answer may be lost."""

    stream: Stream
    number: int

    async def status(self) -> PartitionStatus:
        return self.stream[self.number].status()

    async def seal(self, layout: int) -> int:
        chance = self.stream.random.random()
        end = await self.stream[self.number].seal(layout)
        if chance < 0.3:
            await self.stream.open(self.number)
        if chance < 0.1:
            raise UnavailableError("the answer was lost")
        return end


class FixedSalts:
    async def salt(self, day: int) -> bytes:
        return bytes(32)


def new_ingest(stream: Stream, topology: Topology) -> Ingest:
    """It learns of a change by nothing but the partitions' answers."""
    cache = TopologyCache(lambda: load_topology(stream.database), topology, refresh_s=3_600)

    def batcher(partition: int, layout: int) -> MicroBatcher:
        async def append(batch: Batch) -> Appended:
            return await stream.append(partition, batch)

        return MicroBatcher(partition, append, INGEST, RetryPolicy(0.001, 0.002), layout=layout)

    async def sites() -> list[Site]:
        return [SITE]

    return Ingest(SiteCache(sites, 60), DailySalts(FixedSalts()), Router(cache, batcher, 86_400), INGEST)


@dataclass
class Sender:
    """One visitor: sends its events one request after the other, each until it is acknowledged."""

    name: str
    random: Random
    acknowledged: list[str] = field(default_factory=list)

    async def send(self, ingest: Ingest) -> None:
        new = [f"{self.name}-{len(self.acknowledged) + index}" for index in range(self.random.randint(1, 3))]
        again = self.random.sample(self.acknowledged, min(len(self.acknowledged), self.random.randint(0, 2)))
        ids = [*again, *new]
        body = orjson.dumps([{"event_id": one, "visitor_id": self.name, "name": "click"} for one in ids])

        async def read() -> bytes:
            return body

        while True:
            try:
                answer = await ingest.accept(IngestRequest(KEY, None, None, None, read))
            except RetryableError:
                continue
            assert not answer.rejected
            assert answer.accepted + answer.duplicates == len(ids)
            assert answer.duplicates >= len(again)
            self.acknowledged += new
            return


class Group:
    """One consumer group: remembers every event that it has committed, in its order."""

    def __init__(self, stream: Stream, database: Database, topology: Topology, random: Random) -> None:
        self._stream, self._database, self._random = stream, database, random
        self._topology = TopologyCache(lambda: load_topology(stream.database, newest=True), topology)
        self._readers: dict[int, PartitionReader] = {}
        self._barriers: dict[int, Barriers] = {}
        self.consumed: list[str] = []

    async def step(self, number: int) -> bool:
        """Consume one range of a partition, or begin again from the checkpoint. Whether there was anything."""
        if number >= len(self._stream):
            return False
        if number not in self._readers or self._random.random() < 0.2:  # died: what it had read is gone
            await self._restart(number)
        try:
            records = await self._readers[number].next()
        except RetryableError:
            return True
        if records is None:
            return not self._readers[number].is_empty
        self.consumed += [orjson.loads(payload)["event_id"] for payload in records.payloads]
        await self._database["partitions"].update_one(
            {"_id": number}, {"$set": {"offset": records.end_offset}}, upsert=True
        )
        return True

    async def _restart(self, number: int) -> None:
        stored = await self._database["partitions"].find_one({"_id": number})
        barriers = self._barriers[number] = Barriers(number, self._database, self._topology)
        self._readers[number] = PartitionReader(
            self._stream.fetch,
            number,
            stored["offset"] if stored else 0,
            max_events=self._random.choice([1, 3, 1_000]),
            flush_interval_s=0,
            idle_wait_s=0,
            hold=barriers.held_from,
        )

    async def finish(self) -> None:
        """Consume everything, in any order of the partitions."""
        numbers = list(range(len(self._stream)))
        waiting = True
        while waiting:
            self._random.shuffle(numbers)
            waiting = any([await self.step(number) for number in numbers])


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(script=rounds, seed=st.integers(0, 2**32))
async def test_any_changes_of_the_layout_keep_every_event_once_and_in_order(
    database: Database, monkeypatch: pytest.MonkeyPatch, script: list[Round], seed: int
) -> None:
    random = Random(seed)
    monkeypatch.setattr(reader, "HELD_PAUSE_S", 0)
    replay = database.client[f"{database.name}_replay"]
    for collection in (database["settings"], database["partitions"], replay["partitions"]):
        await collection.delete_many({})
    topology = await settle_topology(database, FIRST_PARTITIONS)
    stream = Stream(database, random)
    for number in range(FIRST_PARTITIONS):
        await stream.open(number)
    ingests = [new_ingest(stream, topology) for _ in range(INGESTS)]
    senders = [Sender(f"v{number}", random) for number in range(VISITORS)]
    live = Group(stream, database, topology, random)

    async def consume(steps: Sequence[int]) -> None:
        for number in steps:
            await live.step(number)

    async def change(one: Round) -> None:
        if one.resize_to is not None:
            await request_resize(database, one.resize_to)
            await stream.supervise()

    async def restart(numbers: Sequence[int]) -> None:
        for number in numbers:
            if number < len(stream):
                await stream.open(number)

    for one in script:
        stream.lost_answers = one.lost_answers
        await asyncio.gather(
            *(senders[number].send(random.choice(ingests)) for number in one.senders),
            change(one),
            restart(one.restarts),
            consume(one.consumer_steps),
        )
    await live.finish()
    replayed = Group(stream, replay, topology, random)
    await replayed.finish()

    acknowledged = [event_id for sender in senders for event_id in sender.acknowledged]
    times = Counter(event_id for _, _, event_id in await stream.stored())
    assert times == Counter(acknowledged)
    for group in (live, replayed):
        assert Counter(group.consumed) == times
        by_visitor: dict[str, list[str]] = defaultdict(list)
        for event_id in group.consumed:
            by_visitor[event_id.partition("-")[0]].append(event_id)
        assert by_visitor == {sender.name: sender.acknowledged for sender in senders if sender.acknowledged}
    for ingest in ingests:
        await ingest.close()
    await stream.close()
    await database.client.drop_database(replay)

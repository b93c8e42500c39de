"""One partition's consumer over a real log and a real mongod: pauses, deaths and poison change no number."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from bson.binary import UUID_SUBTYPE, Binary
from pymongo.asynchronous.database import AsyncDatabase

from pistats.clock import now_ms
from pistats.consumer.lease import LeaseStore
from pistats.consumer.reader import RecordRange
from pistats.consumer.transform import Outcome, Transform, Transformed
from pistats.consumer.worker import PartitionConsumer
from pistats.enrich import EnrichContext, Failure, Reason, enrich_batch
from pistats.errors import PositionError
from pistats.mongo.client import connect
from pistats.mongo.indexes import ensure_group_indexes
from pistats.mongo.server import MongodServer
from pistats.settings import ConsumerSettings, LiveSettings, MongoSettings, StreamSettings
from pistats.stream.batch import Batch, Fetched
from pistats.stream.file_log import FileLog
from pistats.stream.partition import StreamPartition

pytestmark = pytest.mark.faults

Database = AsyncDatabase[dict[str, Any]]
CONTEXT = EnrichContext.standard()
HUMAN = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def view(number: int, user_agent: str = HUMAN) -> bytes:
    """The stored event of one page view by a visitor of its own."""
    return orjson.dumps(
        {
            "site": "s",
            "received_time": now_ms(),
            "user_agent": user_agent,
            "event_id": f"e{number}",
            "visitor_id": f"v{number}",
            "name": "page_view",
            "url": "https://example.com/",
        }
    )


@pytest.fixture
async def partition(tmp_path: Path) -> AsyncIterator[StreamPartition]:
    settings = StreamSettings()
    stream = StreamPartition(0, FileLog.open(tmp_path / "log", 0, settings), settings)
    yield stream
    await stream.close()


@pytest.fixture
async def group(database: Database) -> Database:
    await prepare(database)
    return database


async def prepare(database: Database) -> None:
    await ensure_group_indexes(database, 3_600)
    await LeaseStore(database, 30).declare(0)


async def append(partition: StreamPartition, payloads: Sequence[bytes]) -> None:
    keys = [os.urandom(8) for _ in payloads]
    await partition.append(Batch(os.urandom(16), keys, list(payloads)))


@asynccontextmanager
async def consuming(
    partition: StreamPartition,
    database: Database,
    owner: str = "a",
    *,
    transform: Transform | None = None,
    lease_s: float = 30,
) -> AsyncIterator[PartitionConsumer]:
    """A consumer that runs for the length of the block."""

    async def fetch(_: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        return await partition.fetch(offset, max_bytes, wait_s)

    consumer = PartitionConsumer(
        0,
        owner,
        fetch=fetch,
        database=database,
        consumers=ConsumerSettings(flush_interval_s=0.02, pause_before_retry_s=0.05, lease_s=lease_s),
        live=LiveSettings(),
        transform=transform or Transform(standard),
    )
    task = asyncio.create_task(consumer.run())
    yield consumer
    consumer.stop()
    await task


def standard(payloads: Sequence[bytes], partition: int, offsets: Sequence[int]) -> list[Outcome]:
    return enrich_batch(payloads, partition, offsets, CONTEXT)


async def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def counted(database: Database) -> dict[str, int]:
    """What readers would count, each number from its own collection."""
    minutes = await database["minutes"].find().to_list()
    ledger = await database["ledger"].find().to_list()
    checkpoint = await database["partitions"].find_one({"_id": 0})
    assert checkpoint is not None
    return {
        "offset": checkpoint["offset"],
        "consumed": sum(one["consumed"] for one in ledger),
        "in_counts": sum(checkpoint["counts"].values()),
        "views": sum(minute["views"] for minute in minutes),
        "bots": sum(minute["bots"] for minute in minutes),
        "dead_letters": await database["dead_letters"].count_documents({}),
    }


def all_of(views: int, bots: int = 0, dead_letters: int = 0) -> dict[str, int]:
    total = views + bots + dead_letters
    return {
        **{"offset": total, "consumed": total, "in_counts": total},
        **{"views": views, "bots": bots, "dead_letters": dead_letters},
    }


async def test_every_event_is_counted_and_an_idle_partition_stays_checked(
    partition: StreamPartition, group: Database
) -> None:
    await append(partition, [*(view(number) for number in range(30)), view(30, BOT), b"not JSON"])
    async with consuming(partition, group) as consumer:
        await until(lambda: consumer.status.offset == 32)
        assert await counted(group) == all_of(views=30, bots=1, dead_letters=1)
        before = await group["partitions"].find_one()
        assert before is not None
        while await group["partitions"].count_documents({"checked_at": before["checked_at"]}):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        idle = await group["partitions"].find_one()
    assert idle is not None
    assert idle["caught_up"] is True
    assert idle["committed_at"] == before["committed_at"]
    assert consumer.status.lag_events == 0
    assert (await group["partitions"].find_one() or {})["owner"] == ""


async def test_mongod_killed_again_and_again_loses_and_doubles_nothing(
    partition: StreamPartition, tmp_path: Path
) -> None:
    server = MongodServer(tmp_path / "mongod", MongoSettings(cache_mb=256))
    await asyncio.to_thread(server.start)
    try:
        async with connect(server.uri) as client:
            await prepare(client["group"])
            async with consuming(partition, client["group"]) as consumer:
                for number in range(3):
                    appended = 0
                    async with asyncio.timeout(60):
                        while appended < 1_000 or consumer.status.committed_events < 400 * (number + 1):
                            await append(partition, [view(10_000 * number + appended + one) for one in range(50)])
                            appended += 50
                            await asyncio.sleep(0.005)
                    assert server.pid is not None
                    os.kill(server.pid, signal.SIGKILL)
                    await append(partition, [view(10_000 * number + 9_000 + one) for one in range(50)])
                    await until(lambda: server.pid is None)
                    assert await asyncio.to_thread(server.ensure_running)
                end = partition.status().end_offset
                await until(lambda: consumer.status.offset == end)
            assert await counted(client["group"]) == all_of(views=end)
    finally:
        await asyncio.to_thread(server.stop)


class Held(Transform):
    """Stops between reading and writing until it is let go: a process that is paused there."""

    def __init__(self) -> None:
        super().__init__(standard)
        self.reached = asyncio.Event()
        self.let_go = asyncio.Event()

    async def apply(self, partition: int, records: RecordRange) -> Transformed:
        transformed = await super().apply(partition, records)
        self.reached.set()
        await self.let_go.wait()
        return transformed


async def test_a_consumer_paused_past_its_lease_writes_nothing_when_it_wakes(
    partition: StreamPartition, group: Database
) -> None:
    held = Held()
    await append(partition, [view(number) for number in range(10)])
    async with consuming(partition, group, "zombie", transform=held, lease_s=1) as zombie:
        await held.reached.wait()
        async with asyncio.timeout(30):
            while not await LeaseStore(group, 1).free():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        async with consuming(partition, group, "successor") as successor:
            await append(partition, [view(number) for number in range(10, 20)])
            await until(lambda: successor.status.offset == 20)
            before = await group["minutes"].find().to_list()
            held.let_go.set()
            await until(lambda: zombie.status.fenced == 1)
            assert await group["minutes"].find().to_list() == before
            assert successor.status.fenced == 0
    assert zombie.status.commits == 0
    assert await counted(group) == all_of(views=20)


async def test_a_consumer_paused_past_its_lease_starts_anew_when_nobody_took_over(
    partition: StreamPartition, group: Database
) -> None:
    held = Held()
    await append(partition, [view(number) for number in range(10)])
    async with consuming(partition, group, transform=held, lease_s=1) as consumer:
        await held.reached.wait()
        async with asyncio.timeout(30):
            while not await LeaseStore(group, 1).free():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        held.let_go.set()
        await until(lambda: consumer.status.offset == 10)
    assert (consumer.status.fenced, consumer.status.epoch) == (1, 2)
    assert await counted(group) == all_of(views=10)


async def test_an_event_that_makes_enrichment_raise_becomes_a_dead_letter_and_its_neighbours_count(
    partition: StreamPartition, group: Database
) -> None:
    poison = view(3)

    def raising(payloads: Sequence[bytes], number: int, offsets: Sequence[int]) -> list[Outcome]:
        if poison in payloads:
            raise RuntimeError("poison")
        return standard(payloads, number, offsets)

    await append(partition, [view(1), view(2), poison, view(4)])
    async with consuming(partition, group, transform=Transform(raising)) as consumer:
        await until(lambda: consumer.status.offset == 4)
    assert await counted(group) == all_of(views=3, dead_letters=1)
    letter = await group["dead_letters"].find_one()
    assert letter is not None
    assert letter["_id"] == {"partition": 0, "offset": 2}
    assert (letter["stage"], letter["reason"], letter["payload"]) == ("enrich", "step_failed", poison)
    assert letter["detail"] == "RuntimeError: poison"
    assert letter["code_version"]


async def test_an_event_that_cannot_be_folded_becomes_a_dead_letter_and_leaves_nothing_in_the_buckets(
    partition: StreamPartition, group: Database
) -> None:
    def spoiling(payloads: Sequence[bytes], number: int, offsets: Sequence[int]) -> list[Outcome]:
        outcomes = standard(payloads, number, offsets)
        for outcome in outcomes:
            if not isinstance(outcome, Failure) and outcome["visitor_id"] == "v5":
                outcome["path"] = {"not": "text"}
        return outcomes

    await append(partition, [view(1), view(2)])
    async with consuming(partition, group, transform=Transform(spoiling)) as consumer:
        await until(lambda: consumer.status.offset == 2)
        await append(partition, [view(3), view(5), view(4)])
        await until(lambda: consumer.status.offset == 5)
    assert await counted(group) == all_of(views=4, dead_letters=1)
    letter = await group["dead_letters"].find_one()
    assert letter is not None
    assert (letter["stage"], letter["_id"]["offset"]) == ("fold", 3)


async def test_records_that_were_trimmed_away_stop_the_partition_and_say_so(group: Database) -> None:
    async def trimmed(_: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        raise PositionError(f"offset {offset} was trimmed; the first offset still there is 700")

    consumer = PartitionConsumer(
        0,
        "a",
        fetch=trimmed,
        database=group,
        consumers=ConsumerSettings(pause_before_retry_s=0.01),
        live=LiveSettings(),
        transform=Transform(standard),
    )
    task = asyncio.create_task(consumer.run())
    await until(lambda: consumer.status.failures > 1)
    consumer.stop()
    await task
    assert "700" in (consumer.status.last_error or "")
    assert (await group["partitions"].find_one() or {})["offset"] == 0


async def test_a_group_begins_where_it_was_told_and_remembers_it(partition: StreamPartition, group: Database) -> None:
    asked: list[int] = []

    async def latest(number: int) -> int:
        asked.append(number)
        return partition.status().end_offset

    async def fetch(_: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        return await partition.fetch(offset, max_bytes, wait_s)

    await append(partition, [view(1), view(2)])
    for _ in range(2):
        consumer = PartitionConsumer(
            0,
            "a",
            fetch=fetch,
            database=group,
            consumers=ConsumerSettings(flush_interval_s=0.02),
            live=LiveSettings(),
            transform=Transform(standard),
            start=latest,
        )
        task = asyncio.create_task(consumer.run())
        await until(lambda: consumer.status.offset is not None)  # noqa: B023
        consumer.stop()
        await task
        await append(partition, [view(3)])
    assert asked == [0]
    assert (await group["partitions"].find_one() or {})["offset"] in (2, 3)


@pytest.mark.parametrize(("life_now", "dead_letters"), [("1", 0), ("2", 1)], ids=["it may live", "it has ended"])
async def test_an_event_whose_consumer_lost_its_lease_is_condemned_only_if_that_process_has_ended(
    group: Database, partition: StreamPartition, life_now: str, dead_letters: int
) -> None:
    await append(partition, [view(0)])
    lost = {"owner": "a", "session": Binary(bytes(16), UUID_SUBTYPE), "life": "1"}
    noted = {"from_offset": 0, "to_offset": 1, "lives": [["a", "1"]]}
    await group["partitions"].update_one({"_id": 0}, {"$set": {**lost, "offset": 0, "suspect": noted}})
    await group["members"].insert_one({"_id": "a", "life": life_now})

    async with consuming(partition, group, "b") as consumer:
        await until(lambda: consumer.status.offset == 1)

    assert await counted(group) == all_of(1 - dead_letters, dead_letters=dead_letters)


async def test_an_event_that_no_commit_can_hold_becomes_a_dead_letter_and_its_neighbours_count(
    group: Database, partition: StreamPartition
) -> None:
    def no_text_for_bson(payloads: Sequence[bytes], number: int, offsets: Sequence[int]) -> list[Outcome]:
        outcomes = standard(payloads, number, offsets)
        bad = Failure("parse", Reason.STEP_FAILED, "\ud800")
        return [bad if offset == 3 else outcome for offset, outcome in zip(offsets, outcomes, strict=True)]

    await append(partition, [view(number) for number in range(8)])
    async with consuming(partition, group, transform=Transform(no_text_for_bson)) as consumer:
        await until(lambda: consumer.status.offset == 8)

    assert await counted(group) == all_of(views=7, dead_letters=1)
    letter = await group["dead_letters"].find_one()
    assert letter is not None
    assert (letter["_id"]["offset"], letter["stage"], letter["reason"]) == (3, "consume", "step_failed")
    assert "surrogates not allowed" in letter["detail"]

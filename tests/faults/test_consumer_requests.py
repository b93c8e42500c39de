"""What the owner of a partition is asked to do, it does exactly once, whatever point of the commit it dies at."""

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from pistats.consumer.duties import Duties, Duty
from pistats.consumer.lease import NEVER, LeaseStore
from pistats.consumer.requests import Request, Requests, erase_visitor, merge_visitors, redo_dead_letter
from pistats.consumer.transform import Outcome, Transform
from pistats.consumer.worker import PartitionConsumer
from pistats.enrich import EnrichContext, enrich_batch
from pistats.mongo.indexes import Database, ensure_group_indexes
from pistats.settings import ConsumerSettings, LiveSettings
from pistats.stream.batch import Fetched
from pistats.warehouse.chunk import decode_chunk
from pistats.warehouse.erase import request_erasure
from tests.faults.dying_consumer import Point
from tests.faults.test_consumer_process import FRAME_EVENTS, checkpoint, frame, process

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
CONTEXT = EnrichContext.standard()
BROKEN = {0, 7, 8, 39}
"""Offsets that the enrichment of the first run cannot do: the first and the last one among them."""
FRAME = frame(0)
DAY_MS = 86_400_000


class Broken:
    """Enrichment with a bug, until it is mended."""

    def __init__(self) -> None:
        self.offsets = set(BROKEN)

    def __call__(self, payloads: Sequence[bytes], partition: int, offsets: Sequence[int]) -> list[Outcome]:
        if self.offsets.intersection(offsets):
            raise RuntimeError("not mended yet")
        return enrich_batch(payloads, partition, offsets, CONTEXT)


async def fetch(partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
    if offset < FRAME_EVENTS:
        return Fetched([FRAME], FRAME_EVENTS, FRAME_EVENTS, 0)
    await asyncio.sleep(0.05)
    return Fetched([], offset, FRAME_EVENTS, None)


def new_consumer(group: Database, enrich: Broken, owner: str = "a") -> PartitionConsumer:
    return PartitionConsumer(
        0,
        owner,
        fetch=fetch,
        database=group,
        consumers=ConsumerSettings(flush_interval_s=0.02, pause_before_retry_s=0.05),
        live=LiveSettings(),
        transform=Transform(enrich),
    )


@asynccontextmanager
async def consuming(group: Database, enrich: Broken, owner: str = "a") -> AsyncIterator[PartitionConsumer]:
    consumer = new_consumer(group, enrich, owner)
    task = asyncio.create_task(consumer.run())
    yield consumer
    consumer.stop()
    await task


async def until_done(group: Database, *request_ids: str) -> None:
    async with asyncio.timeout(60):
        while await Requests(group).unfinished(request_ids):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.fixture
async def group(database: Database) -> Database:
    """A group that has consumed forty views, four of which are dead letters."""
    await ensure_group_indexes(database, 3_600)
    await LeaseStore(database, 30).declare(0)
    async with consuming(database, Broken()), asyncio.timeout(60):
        while (await checkpoint(database))["offset"] != FRAME_EVENTS:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert await counted(database) == all_are(FRAME_EVENTS - len(BROKEN), dead=len(BROKEN))
    return database


async def counted(group: Database) -> dict[str, int]:
    """What each collection says for itself."""
    ledger = await group["ledger"].find().to_list()
    counts = (await checkpoint(group))["counts"]
    return {
        "in_counts": counts["enriched"],
        "views": sum(one["views"] for one in await group["minutes"].find().to_list()),
        "in_ledger": sum(one["enriched"] for one in ledger),
        "in_chunks": sum(one["events"] for one in await group["chunks"].find().to_list()),
        "consumed": sum(one["consumed"] for one in ledger),
        "dead_in_counts": counts["dead_lettered"],
        "dead_in_ledger": sum(one["dead_lettered"] for one in ledger),
        "dead_letters": await group["dead_letters"].count_documents({}),
    }


def all_are(events: int, dead: int) -> dict[str, int]:
    return {
        **dict.fromkeys(("in_counts", "views", "in_ledger", "in_chunks"), events),
        "consumed": events + dead,
        **dict.fromkeys(("dead_in_counts", "dead_in_ledger", "dead_letters"), dead),
    }


async def test_dead_letters_that_are_mended_count_once_and_the_others_stay_with_the_new_reason(group: Database) -> None:
    enrich = Broken()
    enrich.offsets = {8}
    requests = Requests(group)
    asked = [redo_dead_letter(0, offset) for offset in sorted(BROKEN)]
    assert await requests.add(asked) == len(asked)
    assert await requests.add(asked) == 0
    async with consuming(group, enrich):
        await until_done(group, *(one["_id"] for one in asked))
        assert await counted(group) == all_are(FRAME_EVENTS - 1, dead=1)
        letter = await group["dead_letters"].find_one()
        assert letter is not None
        assert letter["_id"] == {"partition": 0, "offset": 8}
        assert letter["detail"] == "RuntimeError: not mended yet"

        first, second = (letter["payload"].replace(b"example.com/", b"example.com/%d" % number) for number in (1, 2))
        await requests.add([redo_dead_letter(0, 8, first)])
        await until_done(group, redo_dead_letter(0, 8, first)["_id"])
        failed = await group["dead_letters"].find_one()
        assert failed is not None
        assert (failed["payload"], failed["received"]) == (first, letter["payload"]), "what came is kept"
        assert await counted(group) == all_are(FRAME_EVENTS - 1, dead=1)

        enrich.offsets.clear()
        # Asked for in both ways at once; 9 was never a dead letter.
        asked = [redo_dead_letter(0, 8, second), redo_dead_letter(0, 8), redo_dead_letter(0, 9)]
        await requests.add(asked)
        await until_done(group, *(one["_id"] for one in asked))
    assert await counted(group) == all_are(FRAME_EVENTS, dead=0)
    assert (await checkpoint(group))["offset"] == FRAME_EVENTS
    assert await group["visitors"].count_documents({}) == FRAME_EVENTS
    offsets = {(chunk["_id"]["first_offset"], chunk["end_offset"]) async for chunk in group["chunks"].find()}
    assert {(offset, offset + 1) for offset in BROKEN} < offsets
    redone = await group["chunks"].find_one({"_id.first_offset": 8})
    assert redone is not None
    assert decode_chunk(redone["data"], redone["schema"]).column("path").to_pylist() == ["/2"], "as it was mended last"


@pytest.mark.parametrize("point", list(Point), ids=str)
async def test_a_consumer_killed_while_it_redoes_a_dead_letter_counts_it_once(
    mongo_uri: str, group: Database, tmp_path: Path, point: Point
) -> None:
    frames = tmp_path / "frames.pickle"
    frames.write_bytes(pickle.dumps([(FRAME_EVENTS, FRAME)]))
    await Requests(group).add([redo_dead_letter(0, 7), redo_dead_letter(0, 39)])

    command = [sys.executable, "-m", "tests.faults.dying_consumer", str(point), "1"]
    arguments = [mongo_uri, group.name, str(frames), "a", "30"]
    child = await asyncio.create_subprocess_exec(
        *command, *arguments, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL
    done = 2 if point is Point.COMMITTED else 0
    assert await counted(group) == all_are(FRAME_EVENTS - 4 + done, dead=4 - done)

    with process(mongo_uri, group, frames, "a", lease_s=30):
        await until_done(group, "redo:0:7", "redo:0:39")
    assert await counted(group) == all_are(FRAME_EVENTS - 2, dead=2)


@pytest.mark.parametrize("point", [Point.FIRST_WRITE, Point.LAST_WRITE, Point.COMMITTED], ids=str)
@pytest.mark.parametrize("commit", [1, 2])
@pytest.mark.parametrize("first", ["merge", "erase"])
async def test_a_merge_and_an_erasure_of_one_visitor_at_once_leave_nobody_wherever_the_owner_is_killed(
    mongo_uri: str, group: Database, tmp_path: Path, point: Point, commit: int, first: str
) -> None:
    """The merge was asked for by who did not know of the erasure. Whoever else is in it is merged, once."""
    frames = tmp_path / "frames.pickle"
    frames.write_bytes(pickle.dumps([(FRAME_EVENTS, FRAME)]))
    tombstone = await request_erasure(group, "s", "v1")
    day = 20_000
    visitors = [["s", name, day * DAY_MS, [day]] for name in ("v1", "v2", "new")]
    merge = merge_visitors("merge", 0, visitors, tombstone.erased_time)
    erase = erase_visitor(0, "s", "v1", tombstone.erased_time)
    for one in (merge, erase) if first == "merge" else (erase, merge):
        await Requests(group).add([one])

    command = [sys.executable, "-m", "tests.faults.dying_consumer", str(point), str(commit)]
    child = await asyncio.create_subprocess_exec(
        *command, mongo_uri, group.name, str(frames), "a", "30", cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL
    with process(mongo_uri, group, frames, "a", lease_s=30):
        await until_done(group, "merge", erase["_id"])

    found = {one["_id"]["visitor_id"]: one["first_day"] async for one in group["visitors"].find()}
    assert (found.get("v1"), found["v2"], found["new"]) == (None, day, day)
    cells = await group["retention"].find({"_id.granularity": "day"}).to_list()
    sizes = {one["_id"]["cohort"]: one["size"] for one in cells if one["size"]}
    assert sum(sizes.values()) == len(found)
    assert sizes["2024-10-04"] == 2, "each is once in the cohort of the day that was merged"


async def test_visitors_are_merged_and_erased_by_the_owner_of_their_partition(group: Database) -> None:
    before = await group["visitors"].find_one({"_id": {"site": "s", "visitor_id": "v1"}})
    assert before is not None
    long_ago = before["first_time"] - 30 * DAY_MS
    visitors = [["s", "v1", long_ago, [long_ago // DAY_MS]], ["s", "new", long_ago, [long_ago // DAY_MS]]]
    async with consuming(group, Broken()):
        await Requests(group).add([merge_visitors("backfill:1:0", 0, visitors, 0), erase_visitor(0, "s", "v2", 1)])
        await until_done(group, "backfill:1:0", "erase:0:s:v2:1")
    found = {one["_id"]["visitor_id"]: one async for one in group["visitors"].find()}
    assert (found["v1"]["first_time"], found["v1"]["first_day"]) == (long_ago, long_ago // DAY_MS)
    assert found["new"]["first_time"] == long_ago
    assert "v2" not in found
    sizes: dict[str, int] = {}
    async for cell in group["retention"].find({"_id.granularity": "day"}):
        sizes[cell["_id"]["cohort"]] = sizes.get(cell["_id"]["cohort"], 0) + cell["size"]
    assert sorted(sizes.values()) == [2, len(found) - 2]


async def test_a_request_that_cannot_be_done_is_put_aside_and_the_next_ones_are_done(group: Database) -> None:
    senseless: dict[str, Any] = merge_visitors("senseless", 0, [["s", "v1"]], 0)
    async with consuming(group, Broken()) as consumer:
        await Requests(group).add([senseless, erase_visitor(0, "s", "v2", 1)])
        await until_done(group, "erase:0:s:v2:1")
        assert consumer.status.failures == 1
    kept = await group["requests"].find_one({"_id": "senseless"})
    assert kept is not None
    assert (kept["partition"], kept["was"]) == (None, 0)
    assert "TypeError" in kept["error"]


async def test_a_request_that_has_ended_the_process_three_times_is_put_aside(group: Database) -> None:
    """Else it would end the next one, for ever, and its partition would stand still."""
    await Requests(group).add([erase_visitor(0, "s", "v1", 1), erase_visitor(0, "s", "v2", 1)])
    await group["requests"].update_one({"_id": "erase:0:s:v1:1"}, {"$set": {"tries": 3}})
    async with consuming(group, Broken()):
        await until_done(group, "erase:0:s:v2:1")
    (aside,) = await Requests(group).aside(3)
    assert (aside["_id"], aside["was"]) == ("erase:0:s:v1:1", 0)
    assert "3 times" in aside["error"]
    assert await group["visitors"].count_documents({"_id.visitor_id": {"$in": ["v1", "v2"]}}) == 1


async def test_owners_that_were_only_starved_use_up_no_try(group: Database) -> None:
    """Their leases run out while they are at it, one after the other, and they live. The next owner does it, once."""
    asked = erase_visitor(0, "s", "v1", 1)
    await Requests(group).add([asked])
    awake, tasks, consumers = asyncio.Event(), [], []
    for owner in ("b", "c", "d", "e"):
        at_it = asyncio.Event()
        consumer = new_consumer(group, Broken(), owner)
        prepare = consumer._duties.prepare

        async def starved(requests: Sequence[Request], at_it: asyncio.Event = at_it, prepare: Any = prepare) -> Duty:
            at_it.set()
            await awake.wait()
            return cast("Duty", await prepare(requests))

        consumer._duties.prepare = starved  # type: ignore[method-assign]
        consumers.append(consumer)
        tasks.append(asyncio.create_task(consumer.run()))
        await asyncio.wait_for(at_it.wait(), 60)
        await group["partitions"].update_one({"_id": 0}, {"$set": {"expires_at": NEVER}})

    async with consuming(group, Broken(), "f"):
        await until_done(group, asked["_id"])
        awake.set()
        async with asyncio.timeout(60):
            while not all(one.status.fenced for one in consumers):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        for consumer in consumers:
            consumer.stop()
        await asyncio.gather(*tasks)
    assert await Requests(group).aside(3) == []
    assert await group["visitors"].count_documents({"_id.visitor_id": "v1"}) == 0


async def test_a_request_at_which_the_process_was_killed_three_times_is_put_aside(
    mongo_uri: str, group: Database, tmp_path: Path
) -> None:
    frames = tmp_path / "frames.pickle"
    frames.write_bytes(pickle.dumps([(FRAME_EVENTS, FRAME)]))
    await Requests(group).add([erase_visitor(0, "s", "v1", 1)])
    command = [sys.executable, "-m", "tests.faults.dying_consumer", str(Point.LAST_WRITE), "1"]
    for _ in range(3):
        child = await asyncio.create_subprocess_exec(
            *command,
            mongo_uri,
            group.name,
            str(frames),
            "a",
            "30",
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL
    await Requests(group).add([erase_visitor(0, "s", "v2", 1)])

    with process(mongo_uri, group, frames, "a", lease_s=30):
        await until_done(group, "erase:0:s:v2:1")
    (aside,) = await Requests(group).aside(3)
    assert (aside["_id"], aside["tries"]) == ("erase:0:s:v1:1", 3)


async def test_a_process_that_has_ended_while_at_a_request_is_counted_once_and_one_that_lives_is_not(
    group: Database,
) -> None:
    asked = erase_visitor(0, "s", "v1", 1)
    await Requests(group).add([asked])
    for life in ("x", "y", "z"):
        await Requests(group).begin([asked], ("gone", life))
    await Requests(group).begin([asked], ("lives", "1"))
    await group["members"].insert_many([{"_id": "gone", "life": "z"}, {"_id": "lives", "life": "1"}])
    duties = Duties(group, 0, Transform(Broken()), LeaseStore(group, 30), ("b", "life"))

    for _ in range(2):
        (found,) = await duties.waiting()
        assert (found["tries"], len(found["at_it"])) == (2, 2)

    await group["members"].update_one({"_id": "gone"}, {"$set": {"life": "a later one"}})
    assert await duties.given_up(await duties.waiting())
    (aside,) = await Requests(group).aside(3)
    assert (aside["_id"], aside["tries"]) == (asked["_id"], 3)


async def test_what_concerns_a_visitor_who_has_moved_is_handed_on_when_nobody_moves_any_more(group: Database) -> None:
    settled: list[int | None] = [None]

    async def are_settled() -> int | None:
        return settled[0]

    consumer = PartitionConsumer(
        0,
        "a",
        fetch=fetch,
        database=group,
        consumers=ConsumerSettings(flush_interval_s=0.02),
        live=LiveSettings(),
        transform=Transform(mended()),
        settled=are_settled,
        owner_of=lambda _, visitor_id: 1 if visitor_id in ("moved", "v7") else 0,
    )
    day = 20_000
    visitors = [["s", name, day * DAY_MS, [day]] for name in ("here", "moved")]
    task = asyncio.create_task(consumer.run())
    asked = ("m", "m>0", "erase:0:s:moved:1", "redo:0:7", "redo:0:8")
    await Requests(group).add([merge_visitors("m", 0, visitors, 0), erase_visitor(0, "s", "moved", 1)])
    await Requests(group).add([redo_dead_letter(0, 7), redo_dead_letter(0, 8)])
    while consumer.status.offset is None:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert await Requests(group).unfinished(asked) == 4
    settled[0] = 1
    await until_done(group, *asked)
    consumer.stop()
    await task
    left = {one["_id"]: one async for one in group["requests"].find()}
    assert left.keys() == {"m>1", "erase:0:s:moved:1>1", "moved:0:7"}
    assert [visitor[1] for visitor in left["m>1"]["visitors"]] == ["moved"]
    assert {one["partition"] for one in left.values()} == {1}
    stored = {one["_id"]["visitor_id"] async for one in group["visitors"].find()}
    assert stored & {"here", "moved", "v7", "v8"} == {"here", "v8"}, "only the owner writes a visitor"
    chunk = await group["chunks"].find_one({"_id.first_offset": 7})
    assert chunk is not None
    (event,) = decode_chunk(chunk["data"], chunk["schema"]).to_pylist()
    assert left["moved:0:7"]["visitors"] == [["s", "v7", event["event_time"], [event["event_time"] // DAY_MS]]]
    assert event["session_id"] is not None
    assert await counted(group) == all_are(FRAME_EVENTS - 2, dead=2)


def mended() -> Broken:
    enrich = Broken()
    enrich.offsets.clear()
    return enrich

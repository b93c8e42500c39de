"""Laws of the consumer: however records are split into flushes, and wherever it dies, MongoDB ends up the same."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from pistats.consumer.commit import Committer, Flush
from pistats.consumer.lease import LeaseStore
from pistats.consumer.tally import OUTCOMES
from pistats.consumer.transform import Transform
from pistats.consumer.worker import PartitionConsumer
from pistats.ledger import check_ledger, read_ledger
from pistats.mongo.indexes import ensure_group_indexes
from pistats.settings import ConsumerSettings, LiveSettings
from pistats.stream.batch import Fetched
from pistats.stream.frame import FrameTotals, FrameWriter
from pistats.visitors.calendar import GRANULARITIES
from pistats.warehouse.chunk import decode_chunk

Database = AsyncDatabase[dict[str, Any]]

NOW = 1_790_000_000_000
MINUTE = 60_000
HUMAN = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
DAY = 86_400_000
PARTITIONS = 2
ERASED_TIME = NOW - 2 * MINUTE
SITES = [{"_id": "a", "timezone": "UTC"}, {"_id": "b", "timezone": "Pacific/Auckland"}]
COLLECTIONS = ("minutes", "feed", "visitors", "retention", "dead_letters", "ledger")
CUT_BY_FLUSHES = ("chunks",)
SHARED = frozenset({"updated_at", "created_at"})


class Died(BaseException):
    """The process is gone: nothing catches this."""


events = st.builds(
    lambda site, visitor, name, path, minutes_ago, days_late, agent, number: orjson.dumps(
        {
            "site": site,
            "received_time": NOW - minutes_ago * MINUTE,
            "time": NOW - minutes_ago * MINUTE - days_late * DAY,
            "user_agent": agent,
            "event_id": f"e{number}",
            "visitor_id": visitor,
            "name": name,
            "url": f"https://example.com{path}",
        }
    ),
    st.sampled_from(["a", "b"]),
    st.sampled_from([f"v{number}" for number in range(6)]),
    st.sampled_from(["page_view", "purchase"]),
    st.sampled_from(["/", "/sport/x", "/news"]),
    st.sampled_from([0, 0, 1, 2, 45]),  # in order, late, and so late that its bucket is long closed
    st.sampled_from([0, 0, 0, 1, 8, 40]),
    st.sampled_from([HUMAN, HUMAN, BOT]),
    st.integers(0, 9),
)
records = st.lists(st.one_of(events, events, events, st.just(b"not JSON")), min_size=1, max_size=30)
deaths = st.sampled_from([None, None, None, "before commit", "after commit", "instead of an answer"])


@dataclass(frozen=True, slots=True)
class Step:
    """One range that the consumer reads, and how it ends."""

    payloads: Sequence[bytes]
    death: str | None


@st.composite
def splits(draw: st.DrawFn) -> tuple[list[bytes], list[Step]]:
    """A sequence of records, and one way to cut it into ranges."""
    payloads = draw(records)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(payloads) - 1)), max_size=5)))
    bounds = [0, *(cut for cut in cuts if cut < len(payloads)), len(payloads)]
    return payloads, [Step(payloads[start:end], draw(deaths)) for start, end in itertools.pairwise(bounds)]


class ScriptedLog:
    """Gives one step per long poll. Sets `done` when everything has been read and a poll came back for more."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.ranges: list[tuple[int, list[bytes]]] = []
        self.done = asyncio.Event()
        end = 0
        for step in steps:
            # A frame per record: when it was appended belongs to the record, not to the range in which it is read.
            frames = [frame_of(end + index, [payload]) for index, payload in enumerate(step.payloads)]
            end += len(step.payloads)
            self.ranges.append((end, frames))

    async def fetch(self, _: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        await asyncio.sleep(0)
        if wait_s == 0:
            return Fetched([], offset, offset, None)
        for end, frames in self.ranges:
            if end > offset:
                return Fetched(frames, end, end, NOW)
        self.done.set()
        await asyncio.sleep(0.01)
        return Fetched([], offset, offset, None)


def frame_of(first_offset: int, payloads: Sequence[bytes]) -> bytes:
    return FrameWriter(0, 1).encode(
        previous_crc=0,
        first_offset=first_offset,
        append_time=NOW + first_offset // 10 * MINUTE,
        hashes=np.zeros(len(payloads), dtype=np.uint64),
        keys=[b"k"] * len(payloads),
        payloads=payloads,
        batches=[(bytes(16), len(payloads))],
        totals=FrameTotals(duplicates=first_offset // 3),
    )


class MortalCommitter(Committer):
    """Dies at the commits that the script names, once each."""

    deaths: dict[int, str]  # by the offset that the commit moves to

    async def commit(self, flush: Flush) -> None:
        death = self.deaths.pop(flush.to_offset, None)
        if death == "before commit":
            raise Died
        await super().commit(flush)
        if death == "after commit":
            raise Died
        if death == "instead of an answer":
            raise ConnectionError("the answer was lost")


class MortalConsumer(PartitionConsumer):
    """A consumer that the script kills."""

    def die_at(self, deaths: dict[int, str], database: Database) -> None:
        committer = MortalCommitter(database, LeaseStore(database, 30), timeout_s=20)
        committer.deaths = deaths
        self._committer = committer


TRANSFORM = Transform()


async def consume(database: Database, partition: int, steps: Sequence[Step]) -> None:
    """Run one partition's consumers, one after another's death, until everything is consumed."""
    log = ScriptedLog(steps)
    ends = [end for end, _ in log.ranges]
    deaths = {end: step.death for end, step in zip(ends, steps, strict=True) if step.death is not None}
    await LeaseStore(database, 30).declare(partition)
    while not log.done.is_set():
        consumer = MortalConsumer(
            partition,
            "consumer-0",
            fetch=log.fetch,
            database=database,
            consumers=ConsumerSettings(flush_interval_s=0.001, pause_before_retry_s=0.001, visitors_in_memory=3),
            live=LiveSettings(feed_events=5),
            transform=TRANSFORM,
            system=database,
            clock=lambda: NOW,
        )
        consumer.die_at(deaths, database)
        task = asyncio.create_task(consumer.run())
        finished = asyncio.create_task(log.done.wait())
        await asyncio.wait([task, finished], return_when=asyncio.FIRST_COMPLETED)
        consumer.stop()
        finished.cancel()
        with suppress(Died):
            await task


async def archive(database: Database, partition: int) -> dict[str, Any]:
    """What the chunks hold together, wherever the flushes have cut it. Every chunk describes its own events."""
    events: list[dict[str, Any]] = []
    minutes: Counter[int] = Counter()
    for chunk in await database["chunks"].find({"_id.partition": partition}).sort("_id").to_list():
        held = decode_chunk(chunk["data"], chunk["schema"]).to_pylist()
        offsets = [event["offset"] for event in held]
        assert (chunk["_id"]["first_offset"], chunk["end_offset"]) == (offsets[0], offsets[-1] + 1)
        assert chunk["sites"] == sorted({event["site"] for event in held})
        times = [event["event_time"] for event in held]
        assert (chunk["min_event_time"], chunk["max_event_time"]) == (min(times), max(times))
        assert chunk["events"] == len(held) == sum(count for _, count in chunk["minutes"])
        minutes.update(dict(chunk["minutes"]))
        events += held
    return {"events": events, "minutes": minutes}


async def outcome(database: Database) -> dict[str, Any]:
    """Everything that readers see, without the times at which it was written."""
    found: dict[str, Any] = {}
    for name in COLLECTIONS:
        documents = await database[name].find().sort("_id").to_list()
        found[name] = [{key: value for key, value in one.items() if key not in SHARED} for one in documents]
    for partition in range(PARTITIONS):
        found[f"chunks {partition}"] = await archive(database, partition)
        stored = await database["partitions"].find_one({"_id": partition})
        assert stored is not None
        found[f"partition {partition}"] = {
            key: stored[key] for key in ("offset", "append_time", "counts", "duplicates")
        }
    return found


def assert_accounted_for(found: dict[str, Any], partition: int) -> None:
    """Every record once in the ledger, every enriched one once in the chunks, minute by minute, without a gap."""
    at, duplicates = 0, 0
    for row in found["ledger"]:
        if row["_id"]["partition"] == partition:
            assert row["first_offset"] == at
            outcomes = sum(row[outcome] for outcome in OUTCOMES)
            assert row["consumed"] == outcomes == row["end_offset"] - at
            archived = found[f"chunks {partition}"]["minutes"][row["_id"]["minute"]]
            assert archived == row["enriched"] + row["bots"]
            at, duplicates = row["end_offset"], duplicates + row["duplicates"]
    stored = found[f"partition {partition}"]
    assert (at, duplicates) == (stored["offset"], stored["duplicates"] or 0)


def assert_sessions_and_cohorts_agree(found: dict[str, Any], events: list[dict[str, Any]]) -> None:
    """People have sessions and are in one cohort of each kind, bots are not, and the erased are nowhere."""
    assert all((event["session_id"] is None) == event["is_bot"] for event in events)
    people = {(event["site"], event["visitor_id"]) for event in events if not event["is_bot"]}
    assert {(one["_id"]["site"], one["_id"]["visitor_id"]) for one in found["visitors"]} == people
    for granularity in GRANULARITIES:
        cohorts = [one for one in found["retention"] if one["_id"]["granularity"] == granularity]
        assert sum(one["size"] for one in cohorts) == len(people) == sum(sum(one["returned"][:1]) for one in cohorts)
    erased = [event for event in events if (event["site"], event["visitor_id"]) == ("a", "v0")]
    assert all(event["received_time"] > ERASED_TIME for event in erased)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink would take minutes, the cases are small
)
@given(cases=st.tuples(*[splits()] * PARTITIONS))
async def test_any_split_and_any_death_give_the_same_documents(
    database: Database, cases: tuple[tuple[list[bytes], list[Step]], ...]
) -> None:
    await ensure_group_indexes(database, 3_600)
    for name in ("sites", "erasures"):
        await database[name].delete_many({})
    await database["sites"].insert_many(SITES)
    await database["erasures"].insert_one({"_id": {"site": "a", "visitor_id": "v0"}, "erased_time": ERASED_TIME})
    cases = tuple(of_partition(number, *case) for number, case in enumerate(cases))
    outcomes = []
    for broken in (True, False):
        for name in (*COLLECTIONS, *CUT_BY_FLUSHES, "partitions"):
            await database[name].delete_many({})
        if broken:
            await asyncio.gather(*(consume(database, number, steps) for number, (_, steps) in enumerate(cases)))
        else:
            for number, (payloads, _) in enumerate(cases):
                await consume(database, number, [Step(payloads, None)])
        assert check_ledger(await read_ledger(database, NOW)) == []
        outcomes.append(await outcome(database))
    assert outcomes[0] == outcomes[1]
    for number, (payloads, _) in enumerate(cases):
        tally = outcomes[0][f"partition {number}"]["counts"]
        assert sum(tally.values()) == len(payloads)
        assert tally["dead_lettered"] == payloads.count(b"not JSON")
        assert_accounted_for(outcomes[0], number)
    archived = [outcomes[0][f"chunks {number}"]["events"] for number in range(PARTITIONS)]
    assert_sessions_and_cohorts_agree(outcomes[0], [event for events in archived for event in events])


def of_partition(number: int, payloads: list[bytes], steps: list[Step]) -> tuple[list[bytes], list[Step]]:
    """The same records by visitors whom only this partition has."""

    def moved(payload: bytes) -> bytes:
        return payload.replace(b'"visitor_id":"v', b'"visitor_id":"w') if number else payload

    return [moved(one) for one in payloads], [Step([moved(one) for one in step.payloads], step.death) for step in steps]

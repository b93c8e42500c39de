"""Consumers as real processes: killed and paused by signals, wherever they happen to be."""

import asyncio
import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import orjson
import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.clock import now_ms
from pistats.consumer.lease import LeaseStore
from pistats.mongo.indexes import ensure_group_indexes
from pistats.stream.frame import FrameTotals, FrameWriter

pytestmark = pytest.mark.faults

Database = AsyncDatabase[dict[str, Any]]
SCRIPT = Path(__file__).with_name("consumer_process.py")
EVENTS = 20_000
FRAME_EVENTS = 40
KILLS = 5


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of page views, enough to be killed in the midst of."""
    file = tmp_path_factory.mktemp("frames") / "frames.pickle"
    file.write_bytes(pickle.dumps([(first + FRAME_EVENTS, frame(first)) for first in range(0, EVENTS, FRAME_EVENTS)]))
    return file


def frame(first: int) -> bytes:
    payloads = [
        orjson.dumps(
            {
                "site": "s",
                "received_time": now_ms(),
                "event_id": f"e{number}",
                "visitor_id": f"v{number % 50}",
                "name": "page_view",
                "url": "https://example.com/",
            }
        )
        for number in range(first, first + FRAME_EVENTS)
    ]
    return FrameWriter(0, 1).encode(
        previous_crc=0,
        first_offset=first,
        append_time=now_ms(),
        hashes=np.zeros(len(payloads), dtype=np.uint64),
        keys=[b"k"] * len(payloads),
        payloads=payloads,
        batches=[(bytes(16), len(payloads))],
        totals=FrameTotals(),
    )


@pytest.fixture
async def group(database: Database) -> AsyncIterator[Database]:
    await ensure_group_indexes(database, 3_600)
    leases = LeaseStore(database, 30)
    await leases.declare(0)
    yield database
    await leases.acquire(0, (await checkpoint(database))["owner"])  # ends what a killed consumer left open


@contextmanager
def process(uri: str, group: Database, frames: Path, owner: str, lease_s: float) -> Iterator["subprocess.Popen[bytes]"]:
    child = subprocess.Popen([sys.executable, SCRIPT, uri, group.name, frames, owner, str(lease_s)])
    try:
        yield child
    finally:
        child.kill()
        child.wait()


async def checkpoint(group: Database) -> dict[str, Any]:
    document = await group["partitions"].find_one({"_id": 0})
    assert document is not None
    return document


async def consumed_to(group: Database, offset: int, owner: str | None = None, timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            found = await checkpoint(group)
            if (found["offset"] or 0) >= offset and owner in (None, found["owner"]):
                return
            await asyncio.sleep(0.005)


async def assert_counted_once(group: Database) -> None:
    minutes = await group["minutes"].find().to_list()
    ledger = await group["ledger"].find().to_list()
    counts = (await checkpoint(group))["counts"]
    assert sum(minute["views"] for minute in minutes) == EVENTS
    assert sum(one["enriched"] for one in ledger) == EVENTS
    assert counts == {"enriched": EVENTS, "bots": 0, "dead_lettered": 0, "erased": 0}


async def test_a_consumer_killed_at_any_moment_loses_and_doubles_nothing(
    mongo_uri: str, group: Database, frames: Path
) -> None:
    random = Random(7)
    for number in range(1, KILLS + 1):
        with process(mongo_uri, group, frames, "a", lease_s=30):
            await consumed_to(group, number * EVENTS // (KILLS + 2))
            await asyncio.sleep(random.uniform(0, 0.05))  # somewhere in the cycle of read, fold and commit
    with process(mongo_uri, group, frames, "a", lease_s=30):
        await consumed_to(group, EVENTS)
    assert (await checkpoint(group))["epoch"] == KILLS + 1
    await assert_counted_once(group)


async def test_a_consumer_paused_past_its_lease_and_woken_writes_nothing(
    mongo_uri: str, group: Database, frames: Path
) -> None:
    with process(mongo_uri, group, frames, "zombie", lease_s=2) as zombie:
        await consumed_to(group, 1_000)
        zombie.send_signal(signal.SIGSTOP)
        stopped_at = (await checkpoint(group))["epoch"]
        async with asyncio.timeout(30):
            while not await LeaseStore(group, 2).free():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        with process(mongo_uri, group, frames, "successor", lease_s=30) as successor:
            await consumed_to(group, 5_000, owner="successor")
            zombie.send_signal(signal.SIGCONT)
            assert await asyncio.to_thread(zombie.wait, 30) == 0  # it finds itself fenced, and leaves
            await consumed_to(group, EVENTS, owner="successor")
            assert successor.poll() is None
    assert (await checkpoint(group))["epoch"] == stopped_at + 1
    await assert_counted_once(group)

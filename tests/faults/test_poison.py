"""Poison of every kind, in a consumer that is a real process: three tries, then a dead letter, and the rest counts."""

import asyncio
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from pistats.clock import now_ms
from pistats.consumer.lease import LeaseStore
from pistats.consumer.requests import Requests, redo_dead_letter
from pistats.mongo.indexes import Database, ensure_group_indexes
from pistats.stream.frame import FrameTotals, FrameWriter

pytestmark = pytest.mark.faults

SCRIPT = Path(__file__).with_name("poison_process.py")
EVENTS = 520
POISON = {130: "dies in enrich", 275: "loops in enrich", 400: "raises in enrich", 470: "dies in fold"}
DEADLINE_S = 120


def payload(number: int) -> bytes:
    return orjson.dumps(
        {
            "site": "s",
            "received_time": now_ms(),
            "event_id": f"e{number}",
            "visitor_id": f"v{number % 50}",
            "name": "page_view",
            "url": f"https://example.com/?q={POISON.get(number, 'harmless')}",
        }
    )


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    payloads = [payload(number) for number in range(EVENTS)]
    frame = FrameWriter(0, 1).encode(
        previous_crc=0,
        first_offset=0,
        append_time=now_ms(),
        hashes=np.zeros(EVENTS, dtype=np.uint64),
        keys=[b"k"] * EVENTS,
        payloads=payloads,
        batches=[(bytes(16), EVENTS)],
        totals=FrameTotals(),
    )
    file = tmp_path / "frames.pickle"
    file.write_bytes(pickle.dumps([(EVENTS, frame)]))
    return file


async def partition(group: Database) -> dict[str, Any]:
    document = await group["partitions"].find_one({"_id": 0})
    assert document is not None
    return document


async def run_until(done: Callable[[], Awaitable[bool]], command: list[str], touched: Path) -> int:
    """Start the process again whenever it ends, as Ray does, until it is done. How often it ended."""
    deaths = 0
    with touched.open("ab") as output:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                process = subprocess.Popen(command, stdout=output)  # noqa: ASYNC220
                try:
                    while process.poll() is None:
                        if await done():
                            return deaths
                        await asyncio.sleep(0.05)
                finally:
                    process.kill()
                    process.wait()
                deaths += 1
                assert deaths < 20, "it ends again and again"


@pytest.mark.timeout(DEADLINE_S + 30)
async def test_an_event_that_ends_the_process_is_a_dead_letter_after_three_tries_and_the_rest_counts(
    database: Database, mongo_uri: str, frames: Path, tmp_path: Path
) -> None:
    await ensure_group_indexes(database, 3_600)
    leases = LeaseStore(database, 30)
    await leases.declare(0)
    touched = tmp_path / "touched"
    command = [sys.executable, str(SCRIPT), mongo_uri, database.name, str(frames), str(tmp_path / "words" / "a")]

    async def consumed() -> bool:
        return bool((await partition(database))["offset"] == EVENTS)

    deaths = await run_until(consumed, command, touched)

    await leases.acquire(0, "a")  # ends what the killed process left open
    letters = {letter["_id"]["offset"]: letter async for letter in database["dead_letters"].find()}
    assert {offset: letter["reason"] for offset, letter in letters.items()} == {
        130: "process_died",
        275: "took_too_long",
        400: "step_failed",
        470: "process_died",
    }
    assert all(letter["payload"] == payload_of(frames, offset) for offset, letter in letters.items())
    assert "in enrich" in letters[275]["detail"]  # where it was
    counts = (await partition(database))["counts"]
    assert (counts["enriched"], counts["dead_lettered"]) == (EVENTS - 4, 4)
    minutes = await database["minutes"].find().to_list()
    assert sum(minute["views"] for minute in minutes) == EVENTS - 4
    chunks = await database["chunks"].find().to_list()
    assert sum(chunk["events"] for chunk in chunks) == EVENTS - 4
    tries = Counter(int(line) for line in touched.read_text().split())
    # The first death makes the whole range suspect, so that the next poison in it needs one try less.
    assert (tries[130], tries[275]) == (3, 2)
    assert deaths == 7

    await Requests(database).add(redo_dead_letter(0, offset) for offset in (400, 470))

    async def redone() -> bool:
        return await Requests(database).unfinished(["redo:0:400", "redo:0:470"]) == 0

    assert await run_until(redone, command, touched) == 3
    await leases.acquire(0, "a")
    assert {letter["_id"]["offset"] async for letter in database["dead_letters"].find()} == set(POISON)
    assert (await partition(database))["counts"] == counts


def payload_of(frames: Path, offset: int) -> bytes:
    from pistats.stream import frame

    ((_, stored),) = pickle.loads(frames.read_bytes())
    return frame.columns(stored).payloads[offset]

"""A consumer killed at each point of its commit: what it wrote is there wholly or not at all, and counted once."""

import asyncio
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.consumer.lease import LeaseStore
from pistats.mongo.indexes import ensure_group_indexes
from tests.faults.dying_consumer import Point
from tests.faults.test_consumer_process import FRAME_EVENTS, checkpoint, consumed_to, frame, process

pytestmark = pytest.mark.faults

Database = AsyncDatabase[dict[str, Any]]
EVENTS = 10 * FRAME_EVENTS
DYING_COMMIT = 4
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of ten commits."""
    file = tmp_path_factory.mktemp("frames") / "frames.pickle"
    file.write_bytes(pickle.dumps([(first + FRAME_EVENTS, frame(first)) for first in range(0, EVENTS, FRAME_EVENTS)]))
    return file


@pytest.fixture
async def group(database: Database) -> Database:
    await ensure_group_indexes(database, 3_600)
    await LeaseStore(database, 30).declare(0)
    return database


async def die(uri: str, group: Database, frames: Path, point: Point) -> None:
    """Run a consumer until it has killed itself."""
    arguments = [str(point), str(DYING_COMMIT), uri, group.name, str(frames), "a", "30"]
    command = [sys.executable, "-m", "tests.faults.dying_consumer", *arguments]
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL
    finally:
        if child.returncode is None:
            child.kill()


async def counted(group: Database) -> dict[str, int]:
    """What each collection says for itself."""
    minutes = await group["minutes"].find().to_list()
    ledger = await group["ledger"].find().to_list()
    chunks = await group["chunks"].find().to_list()
    return {
        "offset": (await checkpoint(group))["offset"],
        "in_counts": sum((await checkpoint(group))["counts"].values()),
        "views": sum(minute["views"] for minute in minutes),
        "enriched": sum(one["enriched"] for one in ledger),
        "in_chunks": sum(one["events"] for one in chunks),
    }


def all_are(events: int) -> dict[str, int]:
    return dict.fromkeys(("offset", "in_counts", "views", "enriched", "in_chunks"), events)


@pytest.mark.parametrize("point", list(Point), ids=str)
async def test_a_consumer_killed_in_its_commit_counts_everything_once(
    mongo_uri: str, group: Database, frames: Path, point: Point
) -> None:
    await die(mongo_uri, group, frames, point)

    whole = DYING_COMMIT if point is Point.COMMITTED else DYING_COMMIT - 1
    assert await counted(group) == all_are(whole * FRAME_EVENTS)

    with process(mongo_uri, group, frames, "a", lease_s=30):  # the same owner: it need not wait for the lease
        await consumed_to(group, EVENTS)

    assert await counted(group) == all_are(EVENTS)
    assert (await checkpoint(group))["epoch"] == 2

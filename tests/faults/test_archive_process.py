"""The archive as a process that is killed at every step, one run after the other: every event stays, once."""

import asyncio
import hashlib
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import orjson
import pytest
from bson.binary import UUID_SUBTYPE, Binary

from pistats.clock import now_ms
from pistats.mongo.indexes import Database, ensure_group_indexes, ensure_system_indexes
from pistats.warehouse.ages import HOUR_MS
from pistats.warehouse.manifest import Manifest
from pistats.warehouse.source import EventSource
from pistats.warehouse.sweep import Sweep
from tests.faults.archive_process import HOOKS, UNIT_EVENTS
from tests.warehouse_events import SITE, chunk_document, files_on_disk, read_all, some_events

pytestmark = pytest.mark.faults

SCRIPT = Path(__file__).with_name("archive_process.py")
EVENTS = UNIT_EVENTS * (len(HOOKS) + 2)
ALWAYS = (0, 2**60)


async def digest(source: EventSource) -> str:
    """Of every event that a reader is shown."""
    return hashlib.sha256(orjson.dumps(read_all(await source.events(SITE, *ALWAYS)))).hexdigest()


async def archive(database: Database, system: Database, uri: str, root: str, step: str) -> int:
    """Run it in a process of its own, and end what it has left open in MongoDB. How it ended."""
    command = [sys.executable, str(SCRIPT), uri, database.name, system.name, root, step]
    done = await asyncio.to_thread(subprocess.run, command, stdout=subprocess.PIPE, text=True, timeout=120)
    for session in done.stdout.split():
        open_session = {"id": Binary(uuid.UUID(session).bytes, UUID_SUBTYPE)}
        await database.client.admin.command("killSessions", [open_session])
    return done.returncode


@pytest.mark.timeout(300)
async def test_an_archive_that_is_killed_at_every_step_loses_doubles_and_forgets_nothing(
    database: Database, mongo_uri: str, tmp_path: Path
) -> None:
    system = database.client[f"{database.name}_system"]
    root = str(tmp_path / "warehouse")
    await ensure_group_indexes(database, 3_600)
    await ensure_system_indexes(system)
    chunks = [chunk_document(some_events(5, first=first)) for first in range(0, EVENTS, 5)]
    await database["chunks"].insert_many(chunks)
    source = EventSource(database, system, root)
    before = await digest(source)
    try:
        for step in HOOKS:
            assert await archive(database, system, mongo_uri, root, step) == -signal.SIGKILL, step
            assert await digest(source) == before, step
        left = len(files_on_disk(root))

        assert await archive(database, system, mongo_uri, root, "none") == 0

        assert await digest(source) == before
        assert await database["chunks"].count_documents({}) == 0
        assert sum([one["events"] async for one in database["archived"].find()]) == EVENTS
        listed = {file.path for file in await Manifest(database).files()}
        assert left > 1
        assert listed < files_on_disk(root), "what the killed runs wrote is still there"
        await Sweep(database, source.storage, "live", grace_s=60, clock=lambda: now_ms() + 25 * HOUR_MS).run()
        assert files_on_disk(root) == listed
    finally:
        await database.client.drop_database(system.name)

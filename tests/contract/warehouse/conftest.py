"""A group's database, a system database and a warehouse of each test's own."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pistats.clock import Clock, now_ms
from pistats.mongo.indexes import Database, ensure_group_indexes, ensure_system_indexes
from pistats.warehouse.archive import Archive
from pistats.warehouse.compact import Compaction, Sizes
from pistats.warehouse.source import EventSource
from pistats.warehouse.storage import Storage
from pistats.warehouse.writer import FileWriter
from tests.plain_history import Event
from tests.warehouse_events import ArchiveEvents, chunk_document


@pytest.fixture
async def group(database: Database) -> Database:
    """A consumer group's database, as `pistats up` makes it."""
    await ensure_group_indexes(database, 3_600)
    return database


@pytest.fixture
async def system(database: Database) -> Database:
    """The system database beside it."""
    beside = database.client[f"{database.name}_system"]
    await ensure_system_indexes(beside)
    return beside


@pytest.fixture
def root(tmp_path: Path) -> str:
    """The warehouse's root."""
    return str(tmp_path / "warehouse")


@pytest.fixture
def source(group: Database, system: Database, root: str) -> EventSource:
    return EventSource(group, system, root)


@pytest.fixture
def new_archive(group: Database, system: Database, root: str) -> Callable[..., Archive]:
    """Makes an archive run of its own, as each process has one."""

    def make(unit_events: int = 1_000, clock: Clock = now_ms) -> Archive:
        storage = Storage(root)
        writer = FileWriter(storage, "live", "run", clock)
        return Archive(group, system, storage, writer, unit_events=unit_events, clock=clock)

    return make


@pytest.fixture
def archive(group: Database, new_archive: Callable[..., Archive]) -> ArchiveEvents:
    """Archives events that came as one chunk."""

    async def run(events: Sequence[Event]) -> None:
        await group["chunks"].insert_one(chunk_document(sorted(events, key=lambda one: one["offset"])))
        await new_archive().run(lambda _: None)

    return run


@pytest.fixture
def new_compaction(group: Database, system: Database, root: str) -> Callable[..., Compaction]:
    """Makes a compaction run of its own; sizes are such that a few hundred events are much."""

    def make(sizes: Sizes = Sizes(small=20_000, aim=80_000, large=150_000), clock: Clock = now_ms) -> Compaction:  # noqa: B008
        storage = Storage(root)
        return Compaction(group, system, storage, FileWriter(storage, "live", "run", clock), sizes=sizes, clock=clock)

    return make

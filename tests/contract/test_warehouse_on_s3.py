"""The whole warehouse on a server that speaks S3 (moto): archive, import, queries, compaction, export, deletion."""

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pyarrow import fs

from pistats.local.ports import free_ports
from pistats.mongo.indexes import Database, ensure_group_indexes, ensure_system_indexes
from pistats.reports.export import Export
from pistats.settings import WarehouseSettings
from pistats.sites import SiteStore
from pistats.warehouse.archive import Archive
from pistats.warehouse.compact import Compaction
from pistats.warehouse.engine import QueryEngine
from pistats.warehouse.source import EventSource
from pistats.warehouse.storage import Storage
from pistats.warehouse.sweep import Sweep
from pistats.warehouse.writer import FileWriter
from tests.contract.backfill import conftest as backfill
from tests.contract.backfill.conftest import ImportSystem
from tests.contract.backfill.test_export import events_file
from tests.warehouse_events import SITE, chunk_document, offsets, some_events

START_TIMEOUT_S = 60.0
ALL = (0, 2**60)
imports = backfill.imports


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """A server of this module's own, in memory."""
    (port,) = free_ports(1)
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert server.poll() is None, "moto has ended"
                    assert time.monotonic() < deadline, "moto doesn't start"
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


@pytest.fixture
def root(s3_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The warehouse's address as an operator sets it: the rest comes from the environment, as for every S3 client."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
    bucket = f"bucket-{abs(hash(request.node.nodeid)):x}"
    fs.S3FileSystem(endpoint_override=s3_url, allow_bucket_creation=True).create_dir(bucket)
    return f"s3://{bucket}/warehouse"


@pytest.fixture
async def system(database: Database) -> AsyncIterator[Database]:
    name = f"{database.name}_system"
    await ensure_system_indexes(database.client[name])
    await ensure_group_indexes(database, 3_600)
    yield database.client[name]
    await database.client.drop_database(name)


async def test_archive_query_compact_and_delete(database: Database, system: Database, root: str) -> None:
    storage = Storage(root)
    source = EventSource(database, system, root)
    for number in range(4):
        chunk = chunk_document(some_events(50, first=50 * number))
        await database["chunks"].insert_one(chunk)
        archive = Archive(database, system, storage, FileWriter(storage, "live", f"run{number}"), unit_events=1_000)
        assert (await archive.run()).events == 50
    await database["chunks"].insert_one(chunk_document(some_events(5, first=200)))
    assert offsets(await source.events(SITE, *ALL)) == list(range(205))
    assert len(storage.list("live")) == 4

    compaction = Compaction(database, system, storage, FileWriter(storage, "live", "compact"))
    assert (await compaction.run()).files_after == 1
    assert offsets(await source.events(SITE, *ALL)) == list(range(205))

    later = Sweep(database, storage, "live", grace_s=60, clock=lambda: int(time.time() * 1000) + 120_000)
    assert (await later.run()).replaced == 4
    assert len(storage.list("live")) == 1
    assert offsets(await source.events(SITE, *ALL)) == list(range(205))
    storage.delete_folder("live")
    assert storage.list("live") == []


async def test_import_and_export(imports: ImportSystem, root: str, tmp_path: Path) -> None:
    settings = imports.settings.model_copy(update={"warehouse": WarehouseSettings(root=root)})
    on_s3 = replace(imports, settings=settings)
    file = events_file(tmp_path)
    assert (await on_s3.run(file, "ndjson", unit_bytes=20_000)).events == 500
    assert (await on_s3.run(file, "ndjson")).skipped == 500
    site = await SiteStore(on_s3.system).get(backfill.SITE)
    assert site is not None
    export = Export(on_s3.source(), QueryEngine(niceness=0), slice_events=100)
    exported = [part async for part in export.slices(site, date(2015, 5, 16), date(2015, 5, 21))]
    assert sum(len(part.events) for part in exported) == 500
    assert not (tmp_path / "warehouse").exists()

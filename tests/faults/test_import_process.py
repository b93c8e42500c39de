"""`pistats import` and `pistats export` as processes: killed half-way, repeated, fed by a pipe."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
import pyarrow.parquet as pq
import pytest

from pistats.consumer.groups import Groups
from pistats.local import runtime
from pistats.mongo.indexes import Database, ensure_system_indexes
from pistats.settings import MongoSettings, Settings
from pistats.sites import SiteStore
from pistats.topology import settle_topology

pytestmark = pytest.mark.faults

SITE = "example.com"
LINES = 45_000
PADDING = "x" * 700
"""Long lines, so that few make several units."""
LINE = (
    '10.{}.{}.{} - - [25/Nov/2025:{:02}:{:02}:{:02} +0000] "GET /{} HTTP/1.1" 200 1 "-" '
    f'"Mozilla/5.0 (X11; Linux) {{}} {PADDING}"\n'
)


@dataclass(slots=True)
class Deployed:
    """A system as `pistats deploy` notes it, of which only MongoDB runs: an import needs no more."""

    data: Path
    environment: dict[str, str]
    group: Database

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pistats", *arguments, "--data", str(self.data)]

    def run(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            self.command(*arguments), env=self.environment, input=stdin, capture_output=True, timeout=300
        )
        assert done.returncode == 0, done.stderr.decode()
        return done


@pytest.fixture
async def deployed(database: Database, mongo_uri: str, tmp_path: Path) -> AsyncIterator[Deployed]:
    settings = Settings(data=tmp_path / "data", mongodb=MongoSettings(database_prefix=database.name))
    settings.data.mkdir()
    runtime.write(settings.data, runtime.Runtime(0, "127.0.0.1:1", None, mongo_uri, "http://127.0.0.1:2", None, 0))
    await ensure_system_indexes(database)
    await settle_topology(database, 2)
    await Groups(database, settings).settle()
    await SiteStore(database).add(SITE)
    environment = {**os.environ, "PISTATS_MONGODB__DATABASE_PREFIX": database.name}
    group = database.client[settings.database("live")]
    yield Deployed(settings.data, environment, group)
    await database.client.drop_database(group.name)


def log_lines(count: int) -> bytes:
    lines = (
        LINE.format(n % 7, n % 199, n % 251, n * 23 // count, n % 60, n % 59, f"page/{n % 997}", n % 40)
        for n in range(count)
    )
    return "".join(lines).encode()


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """The command in a process group of its own, which can be killed whole."""
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)


def unfinished(folder: Path) -> list[Path]:
    return list(folder.glob(".*part"))


def exported(system: Deployed) -> list[dict[str, Any]]:
    done = system.run("export", "--site", SITE, "--from", "2025-11-24", "--to", "2025-11-26")
    return [orjson.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(600)
async def test_an_import_that_is_killed_goes_on_and_gives_the_same(deployed: Deployed, tmp_path: Path) -> None:
    content = log_lines(LINES)
    file = tmp_path / "access.log"
    file.write_bytes(content)
    command = deployed.command("import", str(file), "--site", SITE, "--format", "combined", "--processes", "1")
    imports = deployed.group["imports"]
    process = await asyncio.to_thread(start, command, deployed.environment)
    for _ in range(600):
        if await imports.count_documents({}):
            break
        assert process.poll() is None
        await asyncio.sleep(0.1)
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    await asyncio.to_thread(process.wait)
    _, left = await asyncio.to_thread(psutil.wait_procs, helpers, 30)
    assert not left, "the pool's processes end with the import"
    published = await imports.count_documents({})

    done = await asyncio.to_thread(deployed.run, "import", str(file), "--site", SITE, "--format", "combined")

    assert 0 < published < await imports.count_documents({})
    assert b"imported before 0" not in done.stdout
    again = await asyncio.to_thread(deployed.run, "import", str(file), "--site", SITE, "--format", "combined")
    assert f"imported before {LINES}".encode() in again.stdout
    found = await asyncio.to_thread(exported, deployed)
    assert len(found) == len({event["event_id"] for event in found}) == LINES
    assert sorted(event["offset"] for event in found) == list(range(1, LINES + 1))


@pytest.mark.timeout(600)
async def test_a_pipe_can_be_imported_and_bad_lines_are_kept(deployed: Deployed, tmp_path: Path) -> None:
    lines = log_lines(50).splitlines(keepends=True)
    lines[10:10] = [b"no line at all\xff\n"]
    kept = tmp_path / "kept"
    done = await asyncio.to_thread(
        deployed.run,
        *("import", "-", "--site", SITE, "--format", "combined", "--bad-lines", str(kept)),
        stdin=b"".join(lines),
    )
    assert b"lines 51 \xc2\xb7 events 50" in done.stdout
    assert b"line 11: not a line of this format" in done.stderr
    assert kept.read_bytes() == lines[10]

    parquet = tmp_path / "events.parquet"
    await asyncio.to_thread(
        deployed.run,
        *("export", "--site", SITE, "--from", "2025-11-25", "--to", "2025-11-25"),
        *("--format", "parquet", "--out", str(parquet)),
    )
    assert pq.read_table(parquet).num_rows == 50
    assert unfinished(tmp_path) == []

"""Our own mongod: it starts, survives, is found again, and never outlives its owner."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pymongo import MongoClient

from pistats.errors import ConfigurationError, UnavailableError
from pistats.mongo.server import MongodServer
from pistats.settings import MongoSettings

pytestmark = pytest.mark.faults

SETTINGS = MongoSettings(cache_mb=256)

OWNER = """
    import sys, time
    from pathlib import Path
    from pistats.mongo.server import MongodServer
    from pistats.settings import MongoSettings
    server = MongodServer(Path(sys.argv[1]), MongoSettings(cache_mb=256))
    server.start()
    print(server.pid, flush=True)
    time.sleep(600)
"""


def until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def insert(uri: str, name: str) -> None:
    with MongoClient(uri) as client:
        client.test.names.insert_one({"_id": name})


def names(uri: str) -> set[str]:
    with MongoClient(uri) as client:
        return {document["_id"] for document in client.test.names.find()}


def test_a_mongod_killed_is_back_on_the_same_port_with_its_data(tmp_path: Path) -> None:
    server = MongodServer(tmp_path, SETTINGS)
    uri = server.start()
    try:
        insert(uri, "before")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: server.pid is None)

        assert server.ensure_running() is True
        assert server.uri == uri
        assert names(uri) == {"before"}
        assert server.ensure_running() is False
    finally:
        server.stop()
    assert server.pid is None


def test_a_clean_stop_and_start_keeps_port_and_data(tmp_path: Path) -> None:
    server = MongodServer(tmp_path, SETTINGS)
    uri = server.start()
    insert(uri, "kept")
    server.stop()
    server.stop()

    again = MongodServer(tmp_path, SETTINGS)
    try:
        assert again.start() == uri
        assert again.start() == uri
        assert names(uri) == {"kept"}
    finally:
        again.stop()


def test_another_port_is_taken_into_the_replica_set(tmp_path: Path) -> None:
    server = MongodServer(tmp_path, SETTINGS)
    insert(server.start(), "kept")
    server.stop()
    (tmp_path / "mongod.json").unlink()

    moved = MongodServer(tmp_path, SETTINGS)
    try:
        assert names(moved.start()) == {"kept"}
        assert moved.port != server.port
    finally:
        moved.stop()


def test_a_failed_start_names_the_reason(tmp_path: Path) -> None:
    before = MongodServer(tmp_path, SETTINGS)  # its log is in the same file
    before.start()
    before.stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = MongodServer(tmp_path, MongoSettings(cache_mb=256, port=taken.getsockname()[1]))
        try:
            with pytest.raises(UnavailableError, match="Address already in use"):
                server.start()
        finally:
            server.stop()


def test_it_dies_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(OWNER), tmp_path], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    mongod = psutil.Process(int(owner.stdout.readline()))
    with pytest.raises(ConfigurationError, match="in use by mongod"):
        MongodServer(tmp_path, SETTINGS).start()

    owner.kill()
    owner.wait()
    owner.stdout.close()
    until(lambda: not mongod.is_running() or mongod.status() == psutil.STATUS_ZOMBIE)


def test_a_mongod_left_behind_is_stopped_by_the_next_start(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(OWNER), tmp_path], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    mongod = psutil.Process(int(owner.stdout.readline()))
    mongod.suspend()  # it cannot follow its owner now
    owner.kill()
    owner.wait()
    owner.stdout.close()
    mongod.resume()

    server = MongodServer(tmp_path, SETTINGS)
    try:
        server.start()
        assert server.pid != mongod.pid
    finally:
        server.stop()


def test_its_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pistats.mongo.server.LOG_BYTES", 1_000)
    server = MongodServer(tmp_path, SETTINGS)
    try:
        server.start()
        server.ensure_running()
        until((tmp_path / "mongod.log").exists)
        assert (tmp_path / "mongod.log.1").stat().st_size > 1_000
    finally:
        server.stop()


def test_its_log_names_no_visitor_however_slow_a_query_is(tmp_path: Path) -> None:
    server = MongodServer(tmp_path, SETTINGS)
    try:
        server.start()
        with MongoClient(server.uri) as client:
            insert(server.uri, "v1")
            slow = {"_id": "v1", "$where": "sleep(1500) || true"}
            assert client.test.names.find_one(slow) is not None
    finally:
        server.stop()
    assert b"sleep(1500)" not in (tmp_path / "mongod.log").read_bytes()

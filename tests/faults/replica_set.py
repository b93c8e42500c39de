"""A replica set of three mongods, to be killed and paused one by one."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from pistats.local.ports import free_ports
from pistats.local.process import OwnedProcess
from pistats.mongo.binary import find_mongod

NAME = "three"
MEMBERS = 3
START_TIMEOUT_S = 60.0
ELECTION_TIMEOUT_MS = 1_000
"""How long the others wait for a silent primary. MongoDB's default is ten seconds: a test has less patience."""


class ReplicaSet:
    """Three members on this machine. A client at `uri` finds the primary, whichever it is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = free_ports(MEMBERS)
        self._members: dict[int, OwnedProcess] = {}

    @property
    def uri(self) -> str:
        return f"mongodb://{','.join(f'127.0.0.1:{port}' for port in self._ports)}/?replicaSet={NAME}"

    def start(self) -> None:
        """Returns when there is a primary."""
        for port in self._ports:
            self._launch(port)
        self._wait_until_all_answer()
        members = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(self._ports)]
        settings = {"electionTimeoutMillis": ELECTION_TIMEOUT_MS, "heartbeatIntervalMillis": 200}
        config = {"_id": NAME, "members": members, "settings": settings}
        with _direct(self._ports[0]) as client:
            client.admin.command("replSetInitiate", config)
        self.primary()

    def _wait_until_all_answer(self) -> None:
        """A set is initiated by members that reach each other."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not all(_hello(port) for port in self._ports):
            assert time.monotonic() < deadline, f"three members don't answer within {START_TIMEOUT_S:g} s"
            time.sleep(0.05)

    def primary(self, *, but: int | None = None, timeout_s: float = START_TIMEOUT_S) -> int:
        """The port of the primary, as soon as there is one that is not `but`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for port in self._ports:
                if port != but and _hello(port).get("isWritablePrimary"):
                    return port
            time.sleep(0.05)
        raise AssertionError(f"no primary within {timeout_s:g} s")

    def signal(self, port: int, number: int) -> None:
        """Send a signal to a member."""
        os.kill(self._members[port].pid, number)

    def restart(self, port: int) -> None:
        """Start a member that was killed."""
        self._members[port].stop(10)
        self._launch(port)

    def stop(self) -> None:
        for member in self._members.values():
            if member.running:
                os.kill(member.pid, signal.SIGCONT)
                os.kill(member.pid, signal.SIGKILL)
            member.stop(10)

    def _launch(self, port: int) -> None:
        data = self._directory / str(port)
        data.mkdir(parents=True, exist_ok=True)
        command = [
            *(str(find_mongod()), "--dbpath", str(data), "--port", str(port), "--bind_ip", "127.0.0.1"),
            *("--nounixsocket", "--replSet", NAME, "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        ]
        self._members[port] = OwnedProcess(command, output=self._directory / f"{port}.out")


def _direct(port: int) -> MongoClient[dict[str, Any]]:
    return MongoClient(
        "127.0.0.1",
        port,
        directConnection=True,
        serverSelectionTimeoutMS=500,
        connectTimeoutMS=500,
        socketTimeoutMS=10_000,
    )


def _hello(port: int) -> dict[str, Any]:
    try:
        with _direct(port) as client:
            return dict(client.admin.command("hello"))
    except PyMongoError:
        return {}


@contextmanager
def three_members(directory: Path) -> Iterator[ReplicaSet]:
    """A running set, gone afterwards."""
    replica_set = ReplicaSet(directory)
    try:
        replica_set.start()
        yield replica_set
    finally:
        replica_set.stop()

"""A mongod of our own: a replica set of one member, on loopback, that lives and dies with its owner.

Layout of `directory`: `db/` (mongod's files), `mongod.log` and `mongod.log.1`, `mongod.json` (port and owner).
"""

import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from pistats.errors import ConfigurationError, UnavailableError
from pistats.local.ports import free_ports, is_free
from pistats.local.process import OwnedProcess
from pistats.mongo.binary import find_mongod
from pistats.mongo.replica_set import become_primary
from pistats.settings import MongoSettings

REPLICA_SET = "pistats"
START_TIMEOUT_S = 60.0
"""A clean start takes about a second; recovery of a journal after a crash may take many."""
STOP_TIMEOUT_S = 20.0
"""mongod ends in one to two seconds, longer when it has a large checkpoint to write."""
LOG_BYTES = 20_000_000
"""Size at which the log is set aside; one older file is kept."""
NEVER_MS = 2**31 - 1
OPLOG_MB = 1_024
"""mongod would take 5 % of the disk. A gigabyte is hours of our writes: readers reconnect within seconds."""
LAST_BYTES = 32_000
"""Of the log, read for the reason of a failed start."""


class MongodServer:
    """One mongod on this machine, started on demand and stopped with its owner. Blocking: call it in a thread.

    `start` may be repeated; a mongod that a killed owner left behind is stopped first. Two owners of one directory at
    the same time are refused.
    """

    def __init__(self, directory: Path, settings: MongoSettings, *, extra_args: Sequence[str] = ()) -> None:
        self._directory = directory.resolve()
        self._settings = settings
        self._extra_args = tuple(extra_args)
        self._port = 0
        self._process: OwnedProcess | None = None
        self._lock = threading.RLock()

    @property
    def port(self) -> int:
        """The TCP port; the same across restarts, unless something else has taken it in between."""
        return self._port

    @property
    def uri(self) -> str:
        """Where clients on this machine connect."""
        return f"mongodb://127.0.0.1:{self._port}/?replicaSet={REPLICA_SET}"

    @property
    def pid(self) -> int | None:
        """The process id of the running mongod, else None."""
        return self._process.pid if self._process is not None and self._process.running else None

    def start(self, timeout_s: float = START_TIMEOUT_S) -> str:
        """Start unless it runs; when it returns, the member is primary and takes writes. Gives the URI.

        Raises ConfigurationError: no mongod, or the directory is in use. UnavailableError: not ready in `timeout_s`.
        """
        with self._lock:
            if self.pid is None:
                binary = find_mongod()
                (self._directory / "db").mkdir(parents=True, exist_ok=True)
                self._recover()
                self._port = self._choose_port()
                self._launch(binary)
            self._wait_ready(timeout_s)
            return self.uri

    def ensure_running(self, timeout_s: float = START_TIMEOUT_S) -> bool:
        """Start it again on the same port if it died, and keep its log bounded. True when it had died."""
        with self._lock:
            if self.pid is not None:
                self._rotate_log()
                return False
            if self._port == 0:
                raise ConfigurationError("This mongod was never started: call start() first.")
            self._recover()
            self._launch(find_mongod())
            self._wait_ready(timeout_s)
            return True

    def stop(self) -> None:
        """Stop it cleanly and wait; killed when it doesn't end in 20 s. May be repeated."""
        with self._lock:
            if self._process is not None:
                self._process.stop(STOP_TIMEOUT_S)
                self._process = None

    # --- starting -----------------------------------------------------------------------------------------------

    def _launch(self, binary: Path) -> None:
        self._rotate_log()
        self._process = OwnedProcess([str(binary), *self._arguments()], output=self._directory / "mongod.out")
        note = {"port": self._port, "owner": os.getpid()}
        (self._directory / "mongod.json").write_text(json.dumps(note))

    def _arguments(self) -> list[str]:
        return [
            *("--dbpath", str(self._directory / "db")),
            *("--port", str(self._port)),
            *("--bind_ip", "127.0.0.1"),
            "--nounixsocket",
            *("--replSet", REPLICA_SET),
            *("--oplogSize", str(OPLOG_MB)),
            *("--wiredTigerCacheSizeGB", f"{self._settings.cache_mb / 1024:.2f}"),
            *("--logpath", str(self._directory / "mongod.log")),
            *("--logappend", "--logRotate", "reopen", "--quiet"),
            # A slow command would be logged with everything in it, visitors' ids too, where no erasure finds them.
            *("--slowms", str(NEVER_MS)),
            # Without this it samples itself every second, for ever: 200 MB of disk and a steady load when idle.
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *self._extra_args,
        ]

    def _wait_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        become_primary(self._port, REPLICA_SET, deadline, alive=self._assert_running)

    def _assert_running(self) -> None:
        if self.pid is None:
            log = self._directory / "mongod.log"
            raise UnavailableError(f"mongod ended while starting. Its last words are in {log}: {_last_words(log)}")

    # --- what an earlier owner left behind ----------------------------------------------------------------------

    def _recover(self) -> None:
        """Stop a mongod that still holds our files though its owner is gone."""
        orphan = self._holder()
        if orphan is None:
            return
        if orphan.pid != self.pid and orphan.ppid() == self._noted("owner"):
            raise ConfigurationError(
                f"{self._directory} is in use by mongod (process {orphan.pid}) of process {orphan.ppid()}: "
                "stop that one first, or use another data directory."
            )
        orphan.terminate()
        try:
            orphan.wait(STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            orphan.kill()
            orphan.wait(STOP_TIMEOUT_S)

    def _holder(self) -> psutil.Process | None:
        """The live mongod on our dbpath: the pid in its lock file, if that process really is one."""
        dbpath = self._directory / "db"
        try:
            process = psutil.Process(int((dbpath / "mongod.lock").read_text().strip() or 0))
            return process if str(dbpath) in process.cmdline() and process.pid != 0 else None
        except (OSError, ValueError, psutil.Error):
            return None

    def _noted(self, key: str) -> int | None:
        try:
            value = json.loads((self._directory / "mongod.json").read_text())[key]
        except (OSError, ValueError, KeyError):
            return None
        return value if isinstance(value, int) else None

    def _choose_port(self) -> int:
        """The configured port, else the one used before if it is free, else any free one."""
        if self._settings.port is not None:
            return self._settings.port
        noted = self._noted("port")
        return noted if noted is not None and is_free(noted) else free_ports(1)[0]

    def _rotate_log(self) -> None:
        log = self._directory / "mongod.log"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
            if self.pid is not None:
                os.kill(self.pid, signal.SIGUSR1)  # with `--logRotate reopen`: a new file under the old name


def _last_words(log: Path) -> str:
    """The last error since the last start, else the last line: that says `Shutting down`, whatever the reason was."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LAST_BYTES))
        lines = file.read().decode(errors="replace").rpartition("SERVER RESTARTED")[2].strip().splitlines()
    errors = [line for line in lines if '"s":"E"' in line or '"s":"F"' in line]
    return (errors or lines or ["(an empty log)"])[-1]

"""One whole system for the tests that need it: `pistats up` as a user runs it, on its own data directory and ports."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from pistats.local.ports import free_ports

READY_TIMEOUT_S = 150.0
"""Two busy cores take a minute; a machine that needs longer has a fault worth seeing."""
STOP_TIMEOUT_S = 60.0


@dataclass(slots=True)
class RunningSystem:
    """A `pistats up` under test, and the commands a user would type beside it."""

    data: Path
    http_port: int
    dashboard_port: int
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None
    printed: str = ""
    keys: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def dashboard_url(self) -> str:
        return f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def password(self) -> str:
        """The dashboard's password, as the first start printed it."""
        found = re.search(r"Password\W+([a-z2-9-]+)", self.printed)
        assert found is not None, self.printed
        return found.group(1)

    def start(self) -> None:
        """Run `pistats up` and wait for its `ready`."""
        output = self.data.parent / f"{self.data.name}.out"
        command = [sys.executable, "-m", "pistats", "up", "--data", str(self.data)]
        command += ["--port", str(self.http_port), "--dashboard-port", str(self.dashboard_port), *self.arguments]
        with output.open("w") as printed:
            self.process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while "\nready" not in (text := output.read_text()):
            assert self.process.poll() is None, (
                f"`pistats up` ended with {self.process.returncode}:\n{text}\n{self.logs()}"
            )
            assert time.monotonic() < deadline, f"`pistats up` isn't ready:\n{text}\n{self.logs()}"
            time.sleep(0.1)
        self.printed += text

    def stop(self) -> None:
        """Ctrl-C, and wait. May be repeated."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(STOP_TIMEOUT_S)

    def run(
        self, *arguments: str, check: bool = True, input_text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`pistats ARGUMENTS` on this system."""
        done = subprocess.run(
            [sys.executable, "-m", "pistats", *arguments],
            env={**os.environ, "PISTATS_DATA": str(self.data)},
            capture_output=True,
            text=True,
            timeout=STOP_TIMEOUT_S * 3,
        )
        assert not check or done.returncode == 0, f"pistats {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return done

    def status(self) -> dict[str, Any]:
        """`pistats status --json`, well or not."""
        return dict(orjson.loads(self.run("status", "--json", check=False).stdout))

    def site(self, name: str) -> dict[str, str]:
        """The keys of a site, added on first use."""
        if name not in self.keys:
            self.keys[name] = orjson.loads(self.run("site", "add", name, "--json").stdout)
        return self.keys[name]

    def records(self, partition: int) -> list[dict[str, Any]]:
        """Every record of one partition."""
        tail = self.run("stream", "tail", "--partition", str(partition), "--from", "trim-horizon", "--json")
        return [orjson.loads(line) for line in tail.stdout.splitlines()]

    def wait_until_consumed(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait for lag 0, and give the status that says so."""
        deadline = time.monotonic() + timeout_s
        while True:
            status = self.status()
            if status["lag_events"] == 0 and all(one["lag_events"] == 0 for one in status["partitions"]):
                return status
            assert time.monotonic() < deadline, status
            time.sleep(0.5)

    def processes(self, title: str) -> list[psutil.Process]:
        """The system's processes whose command line contains `title`, as `ray::PartitionActor`."""
        assert self.process is not None
        descendants = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in descendants if title in " ".join(_command(one))]

    def logs(self) -> str:
        """The last lines of every log, for the message of a failed assertion."""
        files = sorted((self.data / "logs").glob("*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text()[-2_000:]}" for file in files)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def new_system(directory: Path, *arguments: str) -> RunningSystem:
    """A system that is not started yet, with a data directory and ports of its own."""
    http_port, dashboard_port = free_ports(2)
    return RunningSystem(directory / "data", http_port, dashboard_port, arguments)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """The system that all tests share: leave it running and well. Use a site of your own in it."""
    running = new_system(tmp_path_factory.mktemp("system"))
    running.start()
    yield running
    running.stop()

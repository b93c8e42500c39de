"""One whole system for the tests that need it: `pistats up` as a user runs it, on its own data directory and ports."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson
import psutil
import pytest
from pymongo import MongoClient

from pistats.local.ports import free_ports

READY_TIMEOUT_S = 300.0
"""Two quiet cores take 20 s, busy ones a minute or two; a machine that needs longer has a fault worth seeing."""
STOP_TIMEOUT_S = 60.0
REQUEST_TIMEOUT_S = 60.0
"""An event waits up to 30 s for its partition before the endpoint says 503."""

LASTING = (
    "bin/mongod",
    "/gcs_server",
    "/raylet/raylet",
    "ray::PartitionActor",
    "ray::SupervisorActor",
    "ray::ServeController",
    "ray::HAProxyManager",
)
"""Parts of the command lines of processes that only a fault ends."""

SPARE = ("--no-dashboard",)
"""How the spare system is started."""

T = TypeVar("T")


def wait_for(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """What `condition` gives as soon as that is true; fails, saying `what` was waited for, after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} within {timeout_s:g} s; last seen: {found!r}"
        time.sleep(0.1)
    return found


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

    @property
    def demo_site_url(self) -> str:
        """Where the last start with `--demo` put its site."""
        return re.findall(r"Demo site\W+(http://[\d.:]+)", self.printed)[-1]

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
        """Ctrl-C, as a terminal sends it to the whole foreground group, and wait. May be repeated."""
        if self.running:
            assert self.process is not None
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(STOP_TIMEOUT_S)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def run(
        self, *arguments: str, check: bool = True, input_text: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """`pistats ARGUMENTS` on this system."""
        done = subprocess.run(
            [sys.executable, "-m", "pistats", *arguments],
            env={**os.environ, "PISTATS_DATA": str(self.data), **environment},
            input=input_text,
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

    def send(self, key: str, *events: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """POST the events: the status, and the answer or the problem."""
        return self.request("/v1/events", orjson.dumps(list(events)), {"x-pistats-key": key})

    def request(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """One HTTP request: the status, and the body if that is JSON."""
        request = urllib.request.Request(self.url + path, body, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as response:
                status, content = response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                status, content = error.code, error.read()
        return status, orjson.loads(content) if content.startswith(b"{") else {}

    def records(self, partition: int, position: str = "trim-horizon", *more: str) -> list[dict[str, Any]]:
        """The records of one partition from `position` on."""
        tail = self.run("stream", "tail", "--partition", str(partition), "--from", position, "--json", *more)
        return [orjson.loads(line) for line in tail.stdout.splitlines()]

    def stored(self) -> list[dict[str, Any]]:
        """Every record of every partition."""
        return [record for number in range(self.partitions) for record in self.records(number)]

    def counted(self, site: str) -> int:
        """The site's events in the live minute buckets, bots included."""
        with MongoClient[dict[str, Any]](self.runtime["mongodb_uri"]) as client:
            minutes = client["pistats_live"]["minutes"].find({"_id.site": site}, {"events": 1, "bots": 1})
            return sum(minute["events"] + minute["bots"] for minute in minutes)

    @property
    def runtime(self) -> dict[str, Any]:
        """The note that `up` leaves for other commands."""
        return dict(orjson.loads((self.data / "runtime.json").read_bytes()))

    @property
    def partitions(self) -> int:
        return len(list((self.data / "stream").glob("partition-*")))

    def wait_until_consumed(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until it is well and every record is consumed, and give the status that says so."""
        deadline = time.monotonic() + timeout_s
        while True:
            status = self.status()
            if status["healthy"] and all(one["lag_events"] == 0 for one in status["partitions"]):
                return status
            assert time.monotonic() < deadline, status
            time.sleep(0.5)

    def processes(self, title: str = "") -> list[psutil.Process]:
        """The system's live processes whose command line contains `title`, as `ray::PartitionActor`."""
        assert self.process is not None
        descendants = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in descendants if title in " ".join(_command(one))]

    def lasting(self) -> set[psutil.Process]:
        """Its processes that come and go with nothing but the system. Of the consumers only the first is one: the pool
        grows and shrinks with the lag, and jobs and idle workers end when they are done."""
        consumers = sorted(self.processes("ray::ConsumerActor"), key=psutil.Process.create_time)
        return {one for title in LASTING for one in self.processes(title)} | set(consumers[:1])

    def logs(self) -> str:
        """The last lines of every log, for the message of a failed assertion."""
        files = sorted((self.data / "logs").glob("*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text()[-2_000:]}" for file in files)


def _command(process: psutil.Process) -> list[str]:
    """Its command line; a process that has ended, or is about to, has none."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def alive(process: psutil.Process) -> bool:
    """Whether this very process still does anything; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def new_system(directory: Path, *arguments: str) -> RunningSystem:
    """A system that is not started yet, with a data directory and ports of its own."""
    http_port, dashboard_port = free_ports(2)
    return RunningSystem(directory / "data", http_port, dashboard_port, arguments)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """The system that all tests share: leave it running and well. Use a site of your own in it."""
    shared = new_system(tmp_path_factory.mktemp("system"))
    try:
        shared.start()
        yield shared
    finally:
        shared.stop()


@pytest.fixture(scope="session")
def _spare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    spare = new_system(tmp_path_factory.mktemp("spare"), *SPARE)
    (metrics_port,) = free_ports(1)
    spare.data.mkdir(mode=0o700)
    (spare.data / "pistats.toml").write_text(
        f"[metrics]\nenabled = true\nport = {metrics_port}\n[consumers]\nshrink_after_s = 8\n"
    )
    try:
        yield spare
    finally:
        spare.stop()


@pytest.fixture
def spare_system(_spare: RunningSystem) -> RunningSystem:
    """A system to kill, to stop and to change, beside the shared one. It runs when a test begins, however the last one
    left it: with other tests' events, one or two consumers, and partitions that were resized. It exports its metrics.
    """
    if not _spare.running:
        _spare.start()
    return _spare

"""A real system under measurement: `pistats up` on a data directory and ports of its own."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import psutil

from pistats.clock import now_ms
from pistats.local import runtime
from pistats.local.ports import free_ports
from pistats.local.ray_head import ray_directory

READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class System:
    """The addresses of the running system."""

    data: Path
    pid: int
    http_port: int
    runtime: runtime.Runtime

    def new_site(self) -> tuple[str, str]:
        """A site that nothing was sent to yet: its name and write key."""
        name = f"benchmark-{now_ms()}"
        command = [sys.executable, "-m", "pistats", "site", "add", name, "--json", "--data", str(self.data)]
        done = subprocess.run(command, check=True, capture_output=True)
        time.sleep(3)  # until every ingest replica has refreshed its sites
        return name, str(orjson.loads(done.stdout)["write_key"])

    def processes(self) -> list[psutil.Process]:
        """`pistats up` and everything that descends from it."""
        root = psutil.Process(self.pid)
        return [root, *root.children(recursive=True)]


def attached(data: Path) -> System:
    """A system that runs already, and is left running."""
    note = runtime.read(data)
    port = urlsplit(note.url).port
    assert port is not None, note.url
    return System(data, note.pid, port, note)


@contextmanager
def running_system(parent: Path | None = None) -> Iterator[System]:
    """Start `pistats up` below `parent` (default: the temporary directory), stop it and remove its data at the end."""
    directory = Path(tempfile.mkdtemp(prefix="pistats-bench-", dir=parent))
    data, output = directory / "data", directory / "up.out"
    http_port, dashboard_port = free_ports(2)
    command = [sys.executable, "-m", "pistats", "up", "--data", str(data)]
    command += ["--port", str(http_port), "--dashboard-port", str(dashboard_port)]
    # A session of its own: Ctrl-C reaches this process, which stops the system in order.
    with output.open("w") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        _wait_until_ready(process, output)
        yield System(data, process.pid, http_port, runtime.read(data))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_TIMEOUT_S)
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(ray_directory(data), ignore_errors=True)


def _wait_until_ready(process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while "\nready" not in output.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"`pistats up` isn't ready:\n{output.read_text()}")
        time.sleep(0.1)

"""The processes of one system on this machine: started in order, watched, and stopped in reverse order."""

import asyncio
import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray

from actors.connection import connected
from actors.names import NAMESPACE, SUPERVISOR
from actors.ray_start import accept_jobs
from pistats.cli.deployment import deploy_system
from pistats.clock import now_ms
from pistats.dashboard_access import ensure_password
from pistats.errors import ConfigurationError, UnavailableError
from pistats.local import runtime
from pistats.local.ports import free_ports, refusal
from pistats.local.process import OwnedProcess
from pistats.local.ray_head import RayHead, ray_directory
from pistats.mongo.client import connect
from pistats.mongo.server import MongodServer
from pistats.settings import Settings
from pistats.sites import SiteStore

DEMO_SITE = "demo"
DEMO_RATE = 12
"""Events a second of the demo: every panel lives, and an old laptop keeps its fans off."""
WATCH_S = 1.0
RAY_TIMEOUT_S = 120.0
"""Ray starts in 3 to 14 s on two quiet cores, several times as long on busy ones."""
RAY_STARTED = "Ray runtime started."
POLL_S = 0.1
DRAIN_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 10.0
RAY_PROGRAMS = ("gcs_server", "raylet", "haproxy")
"""What can outlive a killed owner."""
RAY_TITLE = "ray::"
"""What Ray's other processes call themselves. They end by themselves when those are gone, agents a minute later: until
then they keep their ports, of which one may be a setting."""
KEPT_SESSIONS = 3
"""Log folders of earlier starts that Ray leaves behind, kept for a look after a crash."""


@dataclass(slots=True)
class Child:
    """A process that is started again when it ends."""

    name: str
    command: list[str]
    environment: dict[str, str]
    process: OwnedProcess | None = None
    starts: int = 0


class LocalSystem:
    """mongod, Ray with its actors and Serve apps, the dashboard, and the demo."""

    def __init__(self, settings: Settings, head: RayHead, *, demo: bool, say: Callable[[str], None]) -> None:
        """`head`: its environment is that of this process already, because Ray reads it at its import."""
        self._settings = settings
        self._head = head
        self._data = settings.data
        self._demo = demo
        self._say = say
        self._logs = self._data / "logs"
        self._mongod: MongodServer | None = None
        self._mongodb_uri = settings.mongodb.uri or ""
        self._ray: OwnedProcess | None = None
        self._joined = ExitStack()
        self._children: list[Child] = []
        self._addresses: dict[str, str] = {}

    def addresses(self) -> dict[str, str]:
        """What to open, by name."""
        return self._addresses

    def start(self, stop: threading.Event, show: Callable[[str], None]) -> None:
        """Start everything, in order, and `show` what is being started. Returns early when `stop` is set."""
        self._check_ports()
        self._logs.mkdir(parents=True, exist_ok=True)
        steps: dict[str, Callable[[], None]] = {
            "MongoDB": self._start_mongod,
            "Ray": lambda: self._start_ray(stop),
            "partitions, consumers and the HTTP endpoint": self._deploy,
        }
        if self._settings.dashboard.enabled:
            steps["the dashboard"] = self._start_dashboard
        if self._demo:
            steps["the demo"] = self._start_demo
        self._launch_ray()  # takes longest: MongoDB starts meanwhile
        for name, step in steps.items():
            if stop.is_set():
                return
            show(f"Starting {name} …")
            step()

    def watch(self, stop: threading.Event) -> None:
        """Keep everything running until `stop`. Raises UnavailableError when Ray itself has ended."""
        while not stop.wait(WATCH_S):
            if self._mongod is not None and self._mongod.ensure_running():
                self._say("mongod had died: it runs again, nothing acknowledged is lost.")
            if self._ray is not None and not self._ray.running:
                raise UnavailableError(f"Ray has ended. Its last words are in {self._logs / 'ray.log'}; start again.")
            for child in self._children:
                if child.process is not None and not child.process.running:
                    self._say(f"{child.name} had ended: starting it again. Its log is {self._log_of(child)}.")
                    self._launch(child)

    def stop(self) -> None:
        """Stop everything that was started, and nothing else. May be repeated."""
        for child in reversed(self._children):
            if child.process is not None:
                child.process.stop(STOP_TIMEOUT_S)
        self._children.clear()
        if self._ray is not None and self._ray.running:  # else a question would wait for a minute
            self._drain()
        self._joined.close()
        if self._ray is not None:
            stop_tree(self._ray.pid)
            self._stop_orphans()
            self._ray = None
        if self._mongod is not None:
            self._mongod.stop()
            self._mongod = None
        runtime.forget(self._data)

    # --- the steps ----------------------------------------------------------------------------------------------

    def _check_ports(self) -> None:
        http, dashboard = self._settings.http, self._settings.dashboard
        wanted = {"--port": (http.host, http.port)}
        if dashboard.enabled:
            wanted["--dashboard-port"] = (dashboard.host, dashboard.port)
            if http.port == dashboard.port:
                raise ConfigurationError(
                    f"The HTTP endpoint and the dashboard cannot share port {http.port}: choose --dashboard-port."
                )
        self._stop_orphans()
        for flag, (host, port) in wanted.items():
            if (why := refusal(port, host, flag)) is not None:
                raise ConfigurationError(why)

    def _start_mongod(self) -> None:
        if not self._mongodb_uri:
            self._mongod = MongodServer(self._data / "mongod", self._settings.mongodb)
            self._mongodb_uri = self._mongod.start()

    def _launch_ray(self) -> None:
        self._forget_old_sessions()
        # Ray's own folders are open to everyone; its logs and HAProxy's admin socket are nobody else's business.
        ray_directory(self._data).mkdir(mode=0o700, exist_ok=True)
        self._ray = OwnedProcess(self._head.command, output=self._logs / "ray.log")

    def _start_ray(self, stop: threading.Event) -> None:
        assert self._ray is not None
        if not self._wait_for_ray(self._ray, stop):
            return
        self._joined.enter_context(connected(self._head.address, str(self._head.token_path)))
        accept_jobs()
        runtime.write(self._data, self._runtime())

    def _wait_for_ray(self, process: OwnedProcess, stop: threading.Event) -> bool:
        """Until `ray start` says that every part has started: a driver that comes earlier waits, and complains.

        False when `stop` was set meanwhile.
        """
        log, deadline = self._logs / "ray.log", time.monotonic() + RAY_TIMEOUT_S
        while RAY_STARTED not in log.read_text():
            if not process.running or time.monotonic() > deadline:
                raise UnavailableError(f"Ray doesn't start. Its last words are in {log}.")
            if stop.wait(POLL_S):
                return False
        return True

    def _deploy(self) -> None:
        deploy_system(self._settings, self._mongodb_uri)
        self._addresses["Events to"] = f"{self._url}/v1/events"

    def _start_dashboard(self) -> None:
        password = asyncio.run(self._first_password())
        self._addresses["Dashboard"] = self._dashboard_url
        if password is not None:
            self._addresses["Password"] = f"{password}   (shown once)"
        self._add(
            "dashboard",
            ["-m", "dashboard"],
            PISTATS_DATA=str(self._data),
            PISTATS_MONGODB__URI=self._mongodb_uri,
            PISTATS_DASHBOARD__PORT=str(self._settings.dashboard.port),
            PISTATS_DASHBOARD__HOST=self._settings.dashboard.host,
            PISTATS_HTTP__PORT=str(self._settings.http.port),
            PISTATS_HTTP__HOST=self._settings.http.host,
        )

    def _start_demo(self) -> None:
        key = asyncio.run(self._demo_key())
        (port,) = free_ports(1)
        self._addresses["Demo site"] = f"http://127.0.0.1:{port}"
        self._add("demo-site", ["-m", "pistats.demo_site", "--port", str(port), "--key", key, "--api", self._url])
        simulate = ["-m", "pistats", "simulate", "--key", key, "--url", self._url, "--rate", str(DEMO_RATE)]
        self._add("demo-visitors", [*simulate, "--seconds", "0", "--quiet"])

    # --- what the steps need ------------------------------------------------------------------------------------

    @property
    def _url(self) -> str:
        return f"http://{_reachable(self._settings.http.host)}:{self._settings.http.port}"

    @property
    def _dashboard_url(self) -> str:
        return f"http://{_reachable(self._settings.dashboard.host)}:{self._settings.dashboard.port}"

    def _runtime(self) -> runtime.Runtime:
        return runtime.Runtime(
            pid=os.getpid(),
            ray_address=self._head.address,
            ray_token_path=str(self._head.token_path),
            mongodb_uri=self._mongodb_uri,
            url=self._url,
            dashboard_url=self._dashboard_url if self._settings.dashboard.enabled else None,
            started_time=now_ms(),
            jobs_url=self._head.jobs_url,
        )

    async def _first_password(self) -> str | None:
        client = connect(self._mongodb_uri)
        try:
            return await ensure_password(client[self._settings.database()])
        finally:
            await client.close()

    async def _demo_key(self) -> str:
        """The demo site's write key: kept in clear in the data directory, because the demo has to send with it."""
        kept = self._data / "demo.key"
        client = connect(self._mongodb_uri)
        try:
            sites = SiteStore(client[self._settings.database()])
            if await sites.get(DEMO_SITE) is None:
                keys = await sites.add(DEMO_SITE)
            elif kept.exists():
                return kept.read_text().strip()
            else:
                keys = await sites.rotate_key(DEMO_SITE, "write")
        finally:
            await client.close()
        assert keys.write_key is not None
        kept.touch(mode=0o600)
        kept.write_text(keys.write_key)
        return keys.write_key

    def _add(self, name: str, arguments: list[str], **environment: str) -> None:
        child = Child(name, [sys.executable, *arguments], {**os.environ, **environment})
        self._children.append(child)
        self._launch(child)

    def _launch(self, child: Child) -> None:
        child.starts += 1
        child.process = OwnedProcess(child.command, output=self._log_of(child), environment=child.environment)

    def _log_of(self, child: Child) -> Path:
        return self._logs / f"{child.name}.log"

    def _drain(self) -> None:
        """Let the consumers give back their leases, so that the next start need not wait for them to run out."""
        if not ray.is_initialized():
            return
        with contextlib.suppress(Exception):
            supervisor = ray.get_actor(SUPERVISOR, namespace=NAMESPACE)
            ray.get(supervisor.drain.remote(), timeout=DRAIN_TIMEOUT_S)

    def _stop_orphans(self) -> None:
        """End what a killed `pistats up` of this very data directory, or a Ray that has died, has left behind."""
        marks = (str(ray_directory(self._data)), str(self._data / "haproxy"))
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or [""]
            named = command if Path(command[0]).name in RAY_PROGRAMS else _logs_of(process, command[0])
            if any(mark in " ".join(named) for mark in marks):
                stop_tree(process.pid)

    def _forget_old_sessions(self) -> None:
        sessions = sorted(ray_directory(self._data).glob("session_2*"), key=lambda path: path.stat().st_mtime)
        for left in (*sessions[:-KEPT_SESSIONS], self._data / "haproxy", ray_directory(self._data) / "ha"):
            shutil.rmtree(left, ignore_errors=True)


def _logs_of(process: psutil.Process, title: str) -> list[str]:
    """The files that a process with a title of Ray's has open: its command is gone, and its logs are its session's."""
    if not title.startswith(RAY_TITLE):
        return []
    try:
        return [file.path for file in process.open_files()]
    except psutil.Error:  # it has ended, or is somebody else's
        return []


def stop_tree(pid: int) -> None:
    """End a process and all that descends from it. Everything acknowledged is on disk: there is nothing to flush.

    Ray's own way takes half a minute, because every part waits for another one; this takes a second or two.
    """
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)


def _reachable(host: str) -> str:
    """An address to click for a server that listens on `host`."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104

"""`pistats doctor`: is this machine fit to run piStats, and what mends it."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import psutil
import typer
from rich.table import Table

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption
from pistats.errors import ConfigurationError
from pistats.local import runtime
from pistats.local.ports import refusal
from pistats.local.runtime import Runtime
from pistats.mongo.binary import find_mongod
from pistats.settings import Settings

DISK_BYTES = 5_000_000_000
"""A day at the seed's load is about 3 GB in the stream."""
MEMORY_BYTES = 3_500_000_000
"""The whole system at rest, and a job beside it."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and how to mend it when it isn't well."""

    name: str
    ok: bool
    found: str
    mend: str = ""
    required: bool = True


def doctor(data: DataOption = DEFAULT_DATA) -> None:
    """Check this machine: Python, mongod, ports, data directory, disk, memory, browser. Says how to mend each.
    Exit 1 when unfit.

    Example: pistats doctor --data /var/lib/pistats
    """
    settings = Settings(data=data)
    findings = [check(settings) for check in CHECKS]
    table = Table("", "What", "Found", "How to mend it")
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else ("[red]no[/]" if finding.required else "[yellow]–[/]")
        table.add_row(mark, finding.name, finding.found, "" if finding.ok else finding.mend)
    Console().print(table)
    if any(not finding.ok and finding.required for finding in findings):
        raise typer.Exit(1)


def _python(_: Settings) -> Finding:
    version = sys.version.split()[0]
    return Finding("Python", sys.version_info >= (3, 11), version, "Install Python 3.11 or newer, then `make venv`.")


def _mongod(settings: Settings) -> Finding:
    if settings.mongodb.uri:
        return Finding("MongoDB", True, "set by mongodb.uri")
    try:
        return Finding("mongod", True, str(find_mongod()))
    except ConfigurationError as error:
        return Finding("mongod", False, "none", str(error))


def _port(name: str, host: str, port: int, flag: str, used_url: str | None) -> Finding:
    if used_url is not None:
        return Finding(name, True, f"{used_url}: this system")
    why = refusal(port, host, flag)
    return Finding(name, why is None, f"{port}: {'free' if why is None else 'not free'}", why or "")


def _http_port(settings: Settings) -> Finding:
    running, http = _running(settings), settings.http
    return _port("HTTP port", http.host, http.port, "--port", running.url if running else None)


def _dashboard_port(settings: Settings) -> Finding:
    running, dashboard = _running(settings), settings.dashboard
    used = running.dashboard_url if running else None
    return _port("Dashboard port", dashboard.host, dashboard.port, "--dashboard-port", used)


def _directory(settings: Settings) -> Finding:
    data, existing = settings.data.resolve(), _existing(settings)
    try:
        with TemporaryFile(dir=existing):
            return Finding("Data directory", True, str(data))
    except OSError as error:
        return Finding("Data directory", False, f"{existing}: {error.strerror}", runtime.mend_directory(data))


def _disk(settings: Settings) -> Finding:
    existing = _existing(settings)
    usage = shutil.disk_usage(existing)
    roomy = usage.free > DISK_BYTES and usage.used / usage.total < settings.stream.disk_high_water
    return Finding(
        "Disk",
        roomy,
        f"{usage.free / 1e9:.1f} GB free at {existing}",
        "Free space, or put --data on another disk.",
    )


def _memory(_: Settings) -> Finding:
    free = psutil.virtual_memory().available
    return Finding("Memory", free > MEMORY_BYTES, f"{free / 1e9:.1f} GB free", "Stop other programs, or use 8 GB.")


def _browser(_: Settings) -> Finding:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    return Finding(
        "Browser", found is not None, found or "none", "Only the tests need one: apt install chromium.", required=False
    )


def _existing(settings: Settings) -> Path:
    """The data directory, or what is there already of the way to it."""
    data = settings.data.resolve()
    return next(path for path in (data, *data.parents) if path.is_dir())


def _running(settings: Settings) -> Runtime | None:
    try:
        return runtime.read(settings.data)
    except ConfigurationError:
        return None


CHECKS: tuple[Callable[[Settings], Finding], ...] = (
    _python,
    _mongod,
    _http_port,
    _dashboard_port,
    _directory,
    _disk,
    _memory,
    _browser,
)

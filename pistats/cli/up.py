"""`pistats up`: the whole system on this machine, in the foreground."""

import os
import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.panel import Panel
from rich.table import Table

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption
from pistats.local import runtime
from pistats.local.ray_head import ray_head
from pistats.settings import Settings


def up(
    data: DataOption = DEFAULT_DATA,
    demo: Annotated[bool, typer.Option("--demo", help="Add a demo news site and simulated visitors.")] = False,
    mongodb_uri: Annotated[
        str | None,
        typer.Option(help="Use this MongoDB replica set instead of a mongod of our own.", envvar="MONGODB_URI"),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the HTTP endpoint.", show_default="8000")] = None,
    dashboard_port: Annotated[int | None, typer.Option(help="Port of the dashboard.", show_default="8501")] = None,
    dashboard: Annotated[bool, typer.Option("--dashboard/--no-dashboard", help="Start the dashboard.")] = True,
) -> None:
    """Run the whole system on this machine, in the foreground. Prints `ready` when everything serves.

    Ctrl-C stops everything that was started, and nothing else. Everything stored is in the data directory; starting
    again continues where it ended, also after a crash.

    Example: pistats up --demo

    Example: pistats up --data /var/lib/pistats --port 8000 --dashboard-port 8501
    """
    settings = _settings(data, mongodb_uri, host, port, dashboard_port, dashboard)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    console = Console()
    with runtime.hold(settings.data):
        head = ray_head(settings.data, settings.metrics)
        os.environ.update(head.environment)
        from pistats.cli.local_system import LocalSystem  # imports Ray, which reads the environment only once

        system = LocalSystem(
            settings, head, demo=demo, say=lambda text: console.print(text, markup=False, highlight=False)
        )
        try:
            with console.status("Starting …") as starting:
                system.start(stop, starting.update)
            if not stop.is_set():
                console.print(_addresses(system.addresses()))
                print("ready", flush=True)
                system.watch(stop)
        finally:
            with console.status("Stopping …"):
                system.stop()


def _settings(
    data: Path,
    mongodb_uri: str | None,
    host: str | None,
    port: int | None,
    dashboard_port: int | None,
    dashboard: bool,
) -> Settings:
    """Flags over everything else; a flag that wasn't given leaves the setting alone."""
    flags: dict[str, dict[str, Any]] = {
        "mongodb": {"uri": mongodb_uri},
        "http": {"host": host, "port": port},
        "dashboard": {"host": host, "port": dashboard_port, "enabled": None if dashboard else False},
    }
    given = {
        name: {key: value for key, value in section.items() if value is not None} for name, section in flags.items()
    }
    return Settings(data=data.resolve(), **{name: section for name, section in given.items() if section})  # type: ignore[arg-type]


def _addresses(rows: dict[str, str]) -> Panel:
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", value)
    return Panel(table, title="piStats", border_style="green", expand=False)

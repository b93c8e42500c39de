"""`pistats send`: events from a file or standard input to the ingest endpoint."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption
from pistats.local import runtime
from pistats.send.client import delivery_to
from pistats.send.delivery import RetryPolicy
from pistats.send.events_file import open_events, read_lines
from pistats.send.sender import IN_FLIGHT, Sender, SendReport

SHOWN = 20
"""Bad lines printed at the end; their number is printed whatever it is."""


def send(
    file: Annotated[str, typer.Argument(help="NDJSON file, one event a line; unpacked if it ends in .gz; - is stdin.")],
    key: Annotated[str, typer.Option(help="Write key of the site.", envvar="PISTATS_WRITE_KEY")],
    url: Annotated[str | None, typer.Option(help="Base of the HTTP endpoint. Default: the system of --data.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="At most this many events a second.")] = None,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Events in one request.")] = 500,
    patience: Annotated[float, typer.Option(min=0, help="Seconds to go on trying while nothing answers.")] = 300.0,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Send events from a file. May be repeated: nothing is stored twice.

    An event without an `event_id` gets one from the content of the file up to its line, so sending the same file again
    (also one that has grown at its end) within the server's dedupe window of 24 hours counts as duplicates. Lines that
    are no events are counted and listed, and never stop the run.

    Exit 0: every line is stored. Exit 1: something is not; the last lines say what.

    Examples: pistats send events.ndjson.gz --key pw_… · tail -n 99 events.ndjson | pistats send - --key pw_… --rate 50
    """
    try:
        source = open_events(file)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error
    endpoint = endpoint_of(url, data)
    policy = RetryPolicy(give_up_after_s=patience)
    report, ended = asyncio.run(_run(source, file, endpoint, key, policy, batch, rate))
    raise typer.Exit(0 if ended and report.complete else 1)


def endpoint_of(url: str | None, data: Path) -> str:
    """The URL given, else that of the system of the data directory. Raises ConfigurationError when none runs."""
    return url or runtime.read(data).url


async def _run(
    source: BinaryIO, file: str, url: str, key: str, policy: RetryPolicy, batch: int, rate: float | None
) -> tuple[SendReport, bool]:
    console = Console(stderr=True)
    with _progress(console) as progress:
        task = progress.add_task("sending", total=_size(file), detail="")
        async with delivery_to(url, key, policy, connections=IN_FLIGHT) as delivery:

            def show(report: SendReport) -> None:
                problem = delivery.counts.last_problem
                retries = f" · {delivery.counts.retried} retries ({problem})" if problem else ""
                progress.update(task, detail=f"{report.accepted + report.duplicates:,} stored{retries}")

            sender = Sender(delivery, batch_events=batch, rate=rate, on_progress=show)
            lines = read_lines(_counted(source, progress, task))
            try:
                await sender.send(lines)
                ended = True
            except asyncio.CancelledError:
                ended = False
    _print(sender.report, delivery.counts.retried, ended)
    if not ended and file == "-":
        os._exit(1)  # a thread still waits for standard input, and cannot be told to stop
    return sender.report, ended


def _progress(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[detail]}"))
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


def _size(file: str) -> int | None:
    """Bytes to read, when that is known."""
    return None if file == "-" or file.endswith(".gz") else Path(file).stat().st_size


def _counted(source: BinaryIO, progress: Progress, task: TaskID) -> Iterator[bytes]:
    for line in source:
        progress.advance(task, len(line))
        yield line


def _print(report: SendReport, retried: int, ended: bool) -> None:
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    for line in report.listed[:SHOWN]:
        errors.print(f"line {line.number}: {line.reason}", markup=False)
    hidden = report.bad + report.rejected - min(SHOWN, len(report.listed))
    if hidden > 0:
        errors.print(f"… and {hidden:,} more such lines", markup=False)
    if report.refusal:
        errors.print(f"stopped: {report.refusal}", markup=False, style="red")
    if not ended:
        errors.print("interrupted: send the same file again to send the rest", markup=False, style="yellow")
    sys.stdout.write(
        f"lines {report.lines} · accepted {report.accepted} · duplicates {report.duplicates}"
        f" · rejected {report.rejected} · bad lines {report.bad} · not delivered {report.undelivered}"
        f" · retried requests {retried}\n"
    )
    sys.stdout.flush()

"""`pistats import`: past events from files, straight into the warehouse."""

import asyncio
import os
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pistats.backfill.importer import Importer, ImportReport
from pistats.backfill.reader import open_source
from pistats.backfill.rows import BadLine, Format
from pistats.backfill.unit import ImportedUnit, ImportPlan, Unit, import_unit
from pistats.backfill.worker import unit_pool
from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption
from pistats.local import runtime
from pistats.mongo.client import connect
from pistats.settings import Settings

SHOWN = 20
"""Bad lines printed at the end; their number is printed whatever it is."""
INTERRUPTED = 130


class FormatName(StrEnum):
    """Formats by the names that the command line takes."""

    NDJSON = "ndjson"
    CLF = "clf"
    COMBINED = "combined"


def import_(
    file: Annotated[str, typer.Argument(help="The file; unpacked if it is gzip; - is stdin.")],
    site: Annotated[str, typer.Option(help="The site that the events belong to.")],
    form: Annotated[
        FormatName,
        typer.Option("--format", help="ndjson: events, one a line. clf, combined: a web server's access log."),
    ],
    base_url: Annotated[
        str | None,
        typer.Option(help="Put before the paths of an access log. Default: the site's origin, else its name."),
    ] = None,
    bad_lines: Annotated[
        Path | None,
        typer.Option(help="Keep the lines that are no events here, as they are. Default: `bad-lines` in --data."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that work on it. Default: one per core.")
    ] = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Import past events from a file, straight into the warehouse. May be repeated: nothing is imported twice.

    What was imported is known by its content: the same file again changes nothing, a file that has grown adds its new
    lines, and an import that was interrupted goes on. Lines that are no events are counted, listed with number and
    reason, and kept; they never stop the run. Events that were sent before by the tracker are not recognised: don't
    import the same days again.

    Exit 0: the file is imported, whatever lines were bad.

    Example: pistats import access.log.gz --site example.com --format combined

    Example: zcat old/*.gz | pistats import - --site news --format ndjson
    """
    try:
        stream, raw = open_source(file)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error
    system = runtime.read(data)
    keep = _BadLines(bad_lines, data / "bad-lines", Path(file).name if file != "-" else "stdin")
    settings = Settings(data=data.resolve())
    try:
        report = asyncio.run(
            _run(
                settings,
                system.mongodb_uri,
                stream,
                raw,
                site,
                form.value,
                base_url,
                processes or os.cpu_count() or 1,
                keep,
            )
        )
    except KeyboardInterrupt:
        print("interrupted: what is imported stays, the same command goes on with the rest", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    _print(report, keep)


class _BadLines:
    """Keeps bad lines in a file, as they are. Makes it when the first one comes."""

    def __init__(self, wanted: Path | None, directory: Path, name: str) -> None:
        self.path = wanted or directory / f"{name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        self._out: BinaryIO | None = None

    def keep(self, _: BadLine, content: bytes) -> None:
        if self._out is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._out = self.path.open("wb")
        self._out.write(content + b"\n")
        self._out.flush()


async def _run(
    settings: Settings,
    mongodb_uri: str,
    stream: BinaryIO,
    raw: BinaryIO | None,
    site: str,
    form: Format,
    base_url: str | None,
    processes: int,
    keep: _BadLines,
) -> ImportReport:
    client = connect(mongodb_uri)
    pool = unit_pool(processes)
    try:
        with _progress() as progress:
            size = None if raw is None else os.fstat(raw.fileno()).st_size
            task = progress.add_task("importing", total=size, detail="")

            def show(report: ImportReport) -> None:
                bad = f" · {report.bad:,} bad lines" if report.bad else ""
                progress.update(
                    task,
                    completed=None if raw is None else raw.tell(),
                    detail=f"{report.events:,} events{bad}",
                )

            async def work(plan: ImportPlan, unit: Unit) -> ImportedUnit:
                return await asyncio.get_running_loop().run_in_executor(pool, import_unit, plan, unit)

            importer = Importer(client, settings, work, in_flight=processes + 1)
            return await importer.run(stream, site, form, base_url, on_unit=show, on_bad=keep.keep)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        await client.close()


def _progress() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[detail]}"))
    return Progress(*columns, TimeElapsedColumn(), console=Console(file=sys.stderr), transient=True)


def _print(report: ImportReport, keep: _BadLines) -> None:
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    for line in report.listed[:SHOWN]:
        errors.print(f"line {line.number}: {line.reason}", markup=False)
    if report.bad > SHOWN:
        errors.print(f"… and {report.bad - SHOWN:,} more such lines", markup=False)
    if report.bad:
        errors.print(f"kept as they are in {keep.path}", markup=False)
    print(
        f"lines {report.lines} · events {report.events} · of them bots {report.bots} · bad lines {report.bad}"
        f" · imported before {report.skipped}"
    )

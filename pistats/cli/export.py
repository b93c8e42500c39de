"""`pistats export`: enriched events into a file."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption
from pistats.consumer.groups import reader_group
from pistats.enrich.event import EnrichedEvent
from pistats.errors import ConfigurationError
from pistats.local import runtime
from pistats.mongo.client import connect
from pistats.reports.export import Export
from pistats.settings import Settings
from pistats.sites import SiteStore
from pistats.warehouse.chunk import EVENT_SCHEMA, events_to_batch
from pistats.warehouse.engine import QueryEngine
from pistats.warehouse.source import EventSource

TIMEOUT_S = 600.0
"""Of one slice of a day: nobody waits for a page here."""


class FormatName(StrEnum):
    """Formats by the names that the command line takes."""

    NDJSON = "ndjson"
    PARQUET = "parquet"


def export(
    site: Annotated[str, typer.Option(help="The site.")],
    from_date: Annotated[str, typer.Option("--from", metavar="DATE", help="First day, in the site's time zone.")],
    to_date: Annotated[str, typer.Option("--to", metavar="DATE", help="Last day, inclusive.")],
    form: Annotated[
        FormatName, typer.Option("--format", help="ndjson: one object a line. parquet: needs --out.")
    ] = FormatName.NDJSON,
    out: Annotated[Path | None, typer.Option(help="The file. Default: standard output.", dir_okay=False)] = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Write every enriched event of some days, up to the second, bots included.

    Sessions and their pages are as the warehouse knows them. Days follow one another; within a day events are in event
    time, on days of more than 50,000 events within groups of visitors. A file is there when it is complete, not before.

    Example: pistats export --site news --from 2026-11-01 --to 2026-11-30 --out november.ndjson

    Example: pistats export --site news --from 2026-11-24 --to 2026-11-24 --format parquet --out today.parquet
    """
    if form is FormatName.PARQUET and out is None:
        raise typer.BadParameter("A Parquet file needs a place: give --out FILE.", param_hint="--format")
    if out is not None and not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"There is no directory {out.absolute().parent}.", param_hint="--out")
    days = _date(from_date, "--from"), _date(to_date, "--to")
    if days[0] > days[1]:
        raise typer.BadParameter(f"{days[0]} is after {days[1]}", param_hint="--from")
    system = runtime.read(data)
    with _written(out) as stream:
        writer = _Parquet(stream) if form is FormatName.PARQUET else _Lines(stream)
        events = asyncio.run(_export(Settings(data=data.resolve()), system.mongodb_uri, site, days, writer))
    Console(stderr=True).print(f"{events:,} events" + (f" in {out}" if out else ""), highlight=False, markup=False)


class _Writer(Protocol):
    def write(self, events: Sequence[EnrichedEvent]) -> None: ...

    def close(self) -> None: ...


class _Lines:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, events: Sequence[EnrichedEvent]) -> None:
        self._stream.writelines(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in events)

    def close(self) -> None:
        self._stream.flush()


class _Parquet:
    def __init__(self, stream: BinaryIO) -> None:
        self._writer = pq.ParquetWriter(stream, EVENT_SCHEMA, compression="zstd")

    def write(self, events: Sequence[EnrichedEvent]) -> None:
        if events:
            self._writer.write_table(pa.Table.from_batches([events_to_batch(events)]))

    def close(self) -> None:
        self._writer.close()


async def _export(
    settings: Settings, mongodb_uri: str, site_name: str, days: tuple[date, date], writer: _Writer
) -> int:
    client = connect(mongodb_uri)
    engine = QueryEngine(memory_mb=settings.query.memory_mb, timeout_s=TIMEOUT_S, concurrent=1)
    try:
        system = client[settings.database()]
        site = await SiteStore(system).get(site_name)
        if site is None:
            raise ConfigurationError(f"There is no site called {site_name!r}: `pistats site list` shows the names.")
        group = client[settings.database(await reader_group(system, settings))]
        found = Export(EventSource(group, system, settings.warehouse_root), engine).slices(site, *days)
        count = 0
        with _progress() as progress:
            task = progress.add_task("days", total=(days[1] - days[0]) // timedelta(days=1) + 1, detail="")
            async for part in found:
                await asyncio.to_thread(writer.write, part.events)
                count += len(part.events)
                progress.update(task, advance=part.last_of_day, detail=f"{count:,} events")
        writer.close()
        return count
    finally:
        await client.close()


@contextmanager
def _written(out: Path | None) -> Iterator[BinaryIO]:
    """A stream whose file takes its name when all went well."""
    if out is None:
        yield sys.stdout.buffer
        return
    staged = out.with_name(f".{out.name}.part")
    try:
        with staged.open("wb") as stream:
            yield stream
        staged.replace(out)
    finally:
        staged.unlink(missing_ok=True)


def _progress() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    shown = TextColumn("{task.fields[detail]}")
    return Progress(*columns, shown, TimeElapsedColumn(), console=Console(file=sys.stderr), transient=True)


def _date(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no date such as 2026-11-23", param_hint=option) from error

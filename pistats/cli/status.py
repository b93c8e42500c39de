"""`pistats status`: is the system well, and where does it stand."""

import asyncio
from typing import Any

import orjson
import typer
from rich.table import Table

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption, JsonOption
from pistats.local import runtime
from pistats.settings import Settings
from pistats.status import PartitionReport, SystemReport


def status(as_json: JsonOption = False, data: DataOption = DEFAULT_DATA) -> None:
    """Show partitions, offsets, lag, consumers and the ledger. Exit 1 when something is not well.

    Example: pistats status --json
    """
    from actors.connection import connected

    system = runtime.read(data)
    with connected(system.ray_address, system.ray_token_path):
        report = asyncio.run(_report(Settings(data=data), system.mongodb_uri))
    if as_json:
        print(orjson.dumps(report.as_json()).decode())
    else:
        _show(report, Console())
    if not report.healthy:
        raise typer.Exit(1)


async def _report(settings: Settings, mongodb_uri: str) -> SystemReport:
    from actors.overview import overview
    from pistats.mongo.client import connect

    client = connect(mongodb_uri)
    try:
        return await overview(client, settings)
    finally:
        await client.close()


def _show(report: SystemReport, console: Console) -> None:
    table = Table("", "Offsets", "Committed", "Lag", "Repeats", "Consumer", "Ledger", pad_edge=False)
    for one in report.partitions:
        table.add_row(
            str(one.partition),
            f"{_number(one.first_offset)} … {_number(one.end_offset)}",
            _number(one.committed_offset),
            f"{_number(one.lag_events)} events, {one.lag_s:.1f} s",
            _duplicates(one),
            one.consumer or "none",
            "matches" if one.difference == 0 else f"[red]{one.difference:+} off[/]",
        )
    console.print(table)
    ledger = report.ledger
    console.print(
        f"appended {ledger['appended']:,} = enriched {ledger['enriched']:,} + bots {ledger['bots']:,} + dead letters "
        f"{ledger['dead_lettered']:,} + erased {ledger['erased']:,} + waiting {report.lag_events:,}"
    )
    console.print(f"of these events {ledger['archived']:,} are archived, {ledger['waiting']:,} wait in the outbox")
    console.print("[green]healthy[/]" if report.healthy else "[red]not healthy[/]")
    for problem in report.problems:
        console.print(f"  {problem}", markup=False)


def _duplicates(one: PartitionReport) -> str:
    """How many, and how many of them said something else under the same id than what is stored."""
    differ = one.conflicting_duplicates
    return f"{_number(one.duplicates)}, {differ:,} differ" if differ else _number(one.duplicates)


def _number(value: Any) -> str:
    return "?" if value is None else f"{value:,}"

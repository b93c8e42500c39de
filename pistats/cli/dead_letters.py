"""`pistats dead-letters`: look at events that could not be enriched, and have them tried again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import orjson
import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption, JsonOption, refusing
from pistats.consumer.dead_letters import DeadLetter, DeadLetters, Which, parse_id, redo
from pistats.consumer.groups import reader_group
from pistats.consumer.requests import Requests
from pistats.enrich import Reason
from pistats.local import runtime
from pistats.mongo.client import connect
from pistats.mongo.indexes import Database
from pistats.settings import Settings

dead_letter_commands = typer.Typer(help="Events that could not be enriched, kept to be redone.", no_args_is_help=True)
T = TypeVar("T")

ReasonOption = Annotated[Reason | None, typer.Option("--reason", help="Only those with this reason.")]
StageOption = Annotated[
    str | None, typer.Option("--stage", help="Only those that this step gave up: `decode` or a step of the enrichment.")
]
POLL_S = 0.2
SHOWN_CHARS = 60
BATCH = 1_000


@dead_letter_commands.command("list", epilog="Example: pistats dead-letters list --reason step_failed")
def list_letters(
    reason: ReasonOption = None,
    stage: StageOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Show the newest N.")] = 50,
    as_json: JsonOption = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """List dead letters, newest first. With --json one object a line."""
    letters, count = _with_group(data, lambda group: _newest(group, limit, Which(stage, reason)))
    if as_json:
        for letter in letters:
            print(orjson.dumps(_as_json(letter)).decode())
        return
    table = Table("ID", "Received", "Stage", "Reason", "Detail", pad_edge=False)
    for one in letters:
        columns = (one.id, _time(one.append_minute), one.stage, one.reason, one.detail[:SHOWN_CHARS])
        table.add_row(*(Text(inert(text)) for text in columns))
    console = Console()
    console.print(table)
    console.print(f"{len(letters):,} of {count:,}", highlight=False)


@dead_letter_commands.command("show", epilog="Example: pistats dead-letters show 0:1234")
def show(
    letter_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="PARTITION:OFFSET, as `list` shows it.", callback=refusing(parse_id)),
    ],
    as_json: JsonOption = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Show one dead letter with the bytes of its event. What a terminal would obey is shown as a replacement sign."""
    letter = _with_group(data, lambda group: DeadLetters(group).get(letter_id))
    if as_json:
        print(orjson.dumps(_as_json(letter)).decode())
        return
    console = Console(highlight=False, soft_wrap=True)
    for name, value in _as_json(letter).items():
        console.print(Text(f"{name:15}{inert(str(value))}"))


@dead_letter_commands.command("replay", epilog="Example: pistats dead-letters replay --reason step_failed")
def replay(
    reason: ReasonOption = None,
    stage: StageOption = None,
    as_json: JsonOption = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Enrich dead letters again, once what was wrong is mended. Each that succeeds is counted, exactly once.

    The others stay, with the reason of this try. May be repeated. Interrupted, the consumers go on by themselves.
    """
    asked, failed = _with_group(data, lambda group: _replay(group, Which(stage, reason)))
    if as_json:
        print(orjson.dumps({"replayed": asked, "counted": asked - failed, "failed": failed}).decode())
    else:
        print(f"{asked:,} replayed: {asked - failed:,} counted, {failed:,} failed again")


async def _newest(group: Database, limit: int, which: Which) -> tuple[list[DeadLetter], int]:
    letters = DeadLetters(group)
    return await letters.newest(limit, which), await letters.count(which)


async def _replay(group: Database, which: Which) -> tuple[int, int]:
    """How many were tried, and how many of them are dead letters still."""
    letters, requests = DeadLetters(group), Requests(group)
    places = await letters.places(which)
    failed = 0
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("Replaying dead letters", total=len(places))
        for start in range(0, len(places), BATCH):
            batch = places[start : start + BATCH]
            ids = await redo(group, batch)
            while left := await requests.unfinished(ids):
                progress.update(task, completed=start + len(batch) - left)
                await asyncio.sleep(POLL_S)
            progress.update(task, completed=start + len(batch))
            failed += await letters.still_there(batch)
    return len(places), failed


def inert(text: str) -> str:
    """Text of a stranger without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    """Its fields; `payload` as text, in which bytes that are no UTF-8 are written as \\xNN."""
    return {"id": letter.id, **asdict(letter), "payload": letter.payload.decode("utf-8", "backslashreplace")}


def _with_group(data: Any, use: Callable[[Database], Awaitable[T]]) -> T:
    """Run `use` on the database of the group that the readers show."""
    system, settings = runtime.read(data), Settings(data=data)

    async def run() -> T:
        client = connect(system.mongodb_uri)
        try:
            name = await reader_group(client[settings.database()], settings)
            return await use(client[settings.database(name)])
        finally:
            await client.close()

    return asyncio.run(run())

"""`pistats group`: the consumer groups, and which one the readers show."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import orjson
import typer
from rich.table import Table

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption, JsonOption
from pistats.consumer.checkpoints import Standing, standing, trouble_of
from pistats.consumer.groups import Group, GroupError, Groups, reader_group
from pistats.consumer.promotion import promote_caught_up
from pistats.errors import UnavailableError
from pistats.local import runtime
from pistats.mongo.client import connect
from pistats.settings import Settings

if TYPE_CHECKING:
    from pistats.warehouse.adopt import Adopted

group_commands = typer.Typer(help="Consumer groups: list them, switch the readers, drop one.", no_args_is_help=True)
T = TypeVar("T")

DROP_TIMEOUT_S = 120.0
"""Consumers hand over within a lease, and the supervisor looks every few seconds."""
POLL_S = 0.3


@group_commands.command("list", epilog="Example: pistats group list --json")
def list_groups(as_json: JsonOption = False, data: DataOption = DEFAULT_DATA) -> None:
    """List the groups. `live` is the one that every reader shows, a `shadow` is consumed beside it."""
    found = _with_groups(data, _listed)
    if as_json:
        print(orjson.dumps([{**asdict(group), **asdict(stands)} for group, stands in found]).decode())
        return
    table = Table("Group", "State", "From", "Lag", "Created", pad_edge=False)
    for group, stands in found:
        created = datetime.fromtimestamp(group.created_time / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        lag = "not begun" if stands.lag_s is None else f"{stands.lag_s:.1f} s"
        table.add_row(group.name, group.state, group.start_position, lag, created)
    console = Console()
    console.print(table)
    for group, stands in found:
        if (trouble := trouble_of(group, stands)) is not None:
            console.print(f"{group.name} {trouble}", markup=False, highlight=False)


@group_commands.command("promote", epilog="Example: pistats group promote fixed")
def promote(
    name: Annotated[str, typer.Argument(help="The group to show from now on.")],
    behind: Annotated[
        bool, typer.Option("--behind", help="Also when it hasn't caught up: readers then see the past for a while.")
    ] = False,
    without_history: Annotated[
        bool,
        typer.Option("--without-history", help="Also when events of before its start, or imported ones, are missing."),
    ] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Let the dashboard, the query API and these commands show another group: all of them, in one write.

    The one that was shown before goes on in the shadow, so that the same command can bring it back.
    """
    before = _with_groups(
        data, lambda groups: promote_caught_up(groups, name, behind=behind, without_history=without_history)
    )
    if before == name:
        print(f"The readers show {name} already.")
    else:
        print(f"The readers show {name} from now on. Back: pistats group promote {before}")


@group_commands.command("adopt", epilog="Example: pistats group adopt fixed")
def adopt(
    name: Annotated[str, typer.Argument(help="A replayed group that the readers don't show yet.")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Give a replayed group what it cannot know: events from before its start, and imports, of the group shown now.

    Promoting it then loses no history. May be repeated, also after an interruption.
    """
    adopted = _with_groups(data, lambda groups: _adopt(groups, name, Settings(data=data)))
    print(f"{name} has taken over {adopted.events:,} events of {adopted.dates:,} dates.")
    if adopted.own_imports:
        print(f"Not the imports of {', '.join(adopted.own_imports)}, of which it had some: repeat `pistats import`.")


@group_commands.command("drop", epilog="Example: pistats group drop fixed")
def drop(
    name: Annotated[str, typer.Argument(help="A group that the readers don't show.")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Stop a group's consumers, then remove its database and its warehouse files. The log keeps its events.

    Returns once everything is gone. May be repeated, also after an interruption.
    """
    dropped = _with_groups(data, lambda groups: _drop(groups, name))
    print(f"{name} is gone." if dropped else f"There is no group {name}: `pistats group list` shows them.")


async def _listed(groups: Groups) -> list[tuple[Group, Standing]]:
    return [(group, await standing(groups.database(group.name))) for group in await groups.list()]


async def _adopt(groups: Groups, name: str, settings: Settings) -> "Adopted":
    from pistats.warehouse.adopt import Adoption  # half a second of pyarrow, which no other command here needs
    from pistats.warehouse.storage import Storage

    if await groups.find(name) is None:
        raise GroupError(f"There is no group {name}: `pistats group list` shows them.")
    system = groups.database(name).client[settings.database()]
    shown = await reader_group(system, settings)
    if shown == name:
        raise GroupError(f"The readers show {name} already: a group takes over from another one, before it is shown.")
    storage = Storage(settings.warehouse_root)
    with Console(stderr=True).status("Taking over …") as status:
        adoption = Adoption(system, groups.database(shown), groups.database(name), name, storage, "adopt")
        return await adoption.run(lambda file: status.update(f"{file.site} {file.date}"))


async def _drop(groups: Groups, name: str) -> bool:
    """Whether there was such a group. It is gone when this returns."""
    if await groups.find(name) is None:
        return False
    await groups.drop(name)
    deadline = time.monotonic() + DROP_TIMEOUT_S
    with Console(stderr=True).status(f"Dropping {name} …"):
        while await groups.find(name) is not None:
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"{name} isn't gone after {DROP_TIMEOUT_S:.0f} s. The supervisor goes on by itself; repeat the "
                    "command to wait for it, and see the Ray logs if it doesn't end."
                )
            await asyncio.sleep(POLL_S)
    return True


def _with_groups(data: Any, use: Callable[[Groups], Awaitable[T]]) -> T:
    """Run `use` on the groups of the running system."""
    system, settings = runtime.read(data), Settings(data=data)

    async def run() -> T:
        client = connect(system.mongodb_uri)
        try:
            return await use(Groups(client[settings.database()], settings))
        finally:
            await client.close()

    return asyncio.run(run())

"""`pistats replay`: consume the log again, into a group of its own beside the live one."""

import asyncio
import time
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption, PositionOption, refusing
from pistats.consumer.groups import Group, GroupError, Groups, check_name
from pistats.consumer.history import lacks_history
from pistats.consumer.replay import ReplayProgress, replay_progress
from pistats.local import runtime
from pistats.mongo.client import connect
from pistats.settings import Settings
from pistats.topology import load_topology

POLL_S = 0.5
INTERRUPTED = 130


def replay(
    group: Annotated[
        str, typer.Option("--group", help="Name of the new consumer group, as `fixed`.", callback=refusing(check_name))
    ],
    position: PositionOption = "trim-horizon",
    wait: Annotated[bool, typer.Option("--wait", help="Show the progress until it has caught up.")] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Replay the log into a shadow group beside the live one, which goes on undisturbed.

    The new group has a database and warehouse files of its own, made by the enrichment rules that run now. What the log
    does not hold, events of before its start and imported ones, `pistats group adopt` brings.

    Once it has caught up, `pistats group promote` lets every reader show it. The same command again starts nothing
    anew: it finds the group and, with --wait, shows how far it has come.

    Example: pistats replay --group fixed --from trim-horizon --wait
    """
    from actors.connection import connected

    system = runtime.read(data)
    settings = Settings(data=data)
    with connected(system.ray_address, system.ray_token_path):
        try:
            asyncio.run(_replay(settings, system.mongodb_uri, group, position, wait))
        except KeyboardInterrupt:
            print(f"The replay into {group} goes on by itself. Look again: {_again(group, position)}")
            raise typer.Exit(INTERRUPTED) from None


async def _replay(settings: Settings, mongodb_uri: str, name: str, position: str, wait: bool) -> None:
    client = connect(mongodb_uri)
    try:
        system = client[settings.database()]
        groups = Groups(system, settings)
        partitions = (await load_topology(system)).actors
        group, starts = await _begin(groups, name, position, partitions)
        if not wait:
            print(f"The log is replayed into {group.name}, from {group.start_position}, in the background.")
            print(f"Its progress: {_again(name, position)}")
            return
        began = time.monotonic()
        progress = await _follow(groups, name, starts)
        seconds = time.monotonic() - began
        print(f"{name} has caught up: {progress.total:,} events, waited for {seconds:.1f} s")
        if await lacks_history(groups.database(await groups.shown()), groups.database(name)):
            print(f"Give it what came before, or was imported: pistats group adopt {name}")
        print(f"Show it: pistats group promote {name}")
    finally:
        await client.close()


def _again(name: str, position: str) -> str:
    """The command that shows how far a replay has come. With the position: another one is refused."""
    return f"pistats replay --group {name} --from {position} --wait"


async def _begin(groups: Groups, name: str, position: str, partitions: int) -> tuple[Group, dict[int, int]]:
    """The group, and where it begins in each partition, which says first whether the position can be read from."""
    from actors.partition_client import PartitionClient

    known = await groups.find(name)
    if known is not None and known.state == "live":
        raise GroupError(f"{name} is the group that the readers show: replay into another one.")
    offsets = await asyncio.gather(*(PartitionClient(number).resolve(position) for number in range(partitions)))
    return await groups.create(name, position), dict(enumerate(offsets))


async def _follow(groups: Groups, name: str, starts: dict[int, int]) -> ReplayProgress:
    """Show the way to the end that the log has now."""
    from actors.partition_client import PartitionClient

    logs = await asyncio.gather(*(PartitionClient(partition).status() for partition in starts))
    ends = {log.partition: log.end_offset for log in logs}
    with _bar() as bar:
        task = bar.add_task(f"Replaying into {name}", total=None, rate="")
        return await _show_until_done(groups, name, starts, ends, bar, task)


async def _show_until_done(
    groups: Groups, name: str, starts: dict[int, int], ends: dict[int, int], bar: Progress, task: TaskID
) -> ReplayProgress:
    began = before = None
    while True:
        progress = await replay_progress(groups.database(name), starts, ends)
        now = time.monotonic()
        if began is None or before is None:
            began, before = now, progress.done
        rate = (progress.done - before) / (now - began) if now > began else 0.0
        bar.update(task, total=progress.total, completed=progress.done, rate=f"{rate:,.0f} events/s")
        if progress.finished:
            return progress
        group = await groups.find(name)
        if group is None or group.state == "dropping":
            raise GroupError(f"The group {name} is being dropped: its replay has ended.")
        await asyncio.sleep(POLL_S)


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True))

"""`pistats stream`: look into the stream."""

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.progress import Progress

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption, JsonOption, PositionOption
from pistats.errors import FinalError, UnavailableError
from pistats.local import runtime
from pistats.mongo.client import connect
from pistats.mongo.indexes import Database
from pistats.settings import BUCKETS, Settings
from pistats.stream.verify import VerifyReport
from pistats.stream.verify import verify as verify_log
from pistats.topology import Topology, load_topology, request_resize

stream_commands = typer.Typer(help="Look into the stream that holds every acknowledged event.", no_args_is_help=True)

FETCH_BYTES = 1_000_000
RESIZE_TIMEOUT_S = 120.0
"""New partitions start within seconds, on busy cores within a minute."""
POLL_S = 0.1


@stream_commands.command("tail", epilog="Example: pistats stream tail --partition 0 --from trim-horizon --limit 5")
def tail(
    partition: Annotated[int, typer.Option(min=0, help="The partition to read.")],
    position: PositionOption = "latest",
    limit: Annotated[
        int | None, typer.Option(min=0, help="Stop after N records. Unset: read what is there; from latest, follow.")
    ] = None,
    follow: Annotated[bool | None, typer.Option("--follow/--no-follow", help="Wait for later records.")] = None,
    as_json: JsonOption = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print the records of one partition, in order. Reading takes nothing away.

    With --json one object a line: partition, offset, append_time (Unix ms), event_id, event.
    """
    from actors.connection import connected

    system = runtime.read(data)
    if follow is None:
        follow = position == "latest" and limit is None
    asyncio.run(_check_partition(Settings(data=data), system.mongodb_uri, partition))
    with connected(system.ray_address, system.ray_token_path):
        asyncio.run(_tail(partition, position, limit, follow, as_json))


@stream_commands.command("verify", epilog="Example: pistats stream verify .pistats/stream")
def verify(
    directory: Annotated[
        Path,
        typer.Argument(
            help="A partition's directory, or the `stream` directory of them.", exists=True, file_okay=False
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Check the log on disk, without changing it: every frame, every link, every index. Exit 1 when it is damaged.

    Needs no running system, and disturbs none. Says what is wrong, where, and what to do.
    """
    partitions = sorted(directory.glob("partition-*")) or [directory]
    reports = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for path in progress.track(partitions, description="Reading"):
            reports[path] = verify_log(path)
    if as_json:
        print(
            orjson.dumps({str(path): {**asdict(one), "sound": one.is_sound} for path, one in reports.items()}).decode()
        )
    else:
        for path, one in reports.items():
            _show_report(path, one, Console(highlight=False, soft_wrap=True))
    if not all(one.is_sound for one in reports.values()):
        raise typer.Exit(1)


@stream_commands.command("resize", epilog="Example: pistats stream resize 4")
def resize(
    partitions: Annotated[int, typer.Argument(min=1, max=BUCKETS, help="How many partitions there shall be.")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Change the number of partitions while events flow: nothing is lost or doubled, visitors' events stay in order.

    Returns once the new number is in force, within seconds. May be repeated: a change that is under way is waited for,
    and goes on by itself if this command is interrupted. A partition that is no longer used is kept and read to its
    end. For a day (the dedupe window) ingest asks two partitions about the visitors that moved.
    """
    system = runtime.read(data)
    before, after = asyncio.run(_resize(Settings(data=data), system.mongodb_uri, partitions))
    if before.epoch == after.epoch:
        print(f"The stream has {partitions} partitions already.")
    else:
        print(f"resized from {before.partitions} to {after.partitions} partitions")


async def _resize(settings: Settings, mongodb_uri: str, partitions: int) -> tuple[Topology, Topology]:
    """The topology that the request was made of, and the one in force afterwards."""
    client = connect(mongodb_uri)
    try:
        database = client[settings.database()]
        before = await request_resize(database, partitions)
        if before.resizing is None:
            return before, before
        with Console(stderr=True).status(f"From {before.partitions} to {partitions} partitions …"):
            return before, await _published(database, before.resizing.epoch)
    finally:
        await client.close()


async def _published(database: Database, epoch: int) -> Topology:
    deadline = time.monotonic() + RESIZE_TIMEOUT_S
    while (topology := await load_topology(database)).epoch < epoch:
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"The change isn't done after {RESIZE_TIMEOUT_S:.0f} s. It goes on as soon as every partition answers; "
                "`pistats status` says which one doesn't. Until then no event may be taken"
            )
        await asyncio.sleep(POLL_S)
    return topology


def _show_report(path: Path, report: VerifyReport, console: Console) -> None:
    verdict = "sound" if report.is_sound else "DAMAGED"
    console.print(
        f"{path}: {verdict}, epoch {report.epoch}, offsets {report.first_offset} to {report.end_offset}, "
        f"{report.frames:,} frames in {report.segments} segments, {report.size_bytes:,} bytes",
        markup=False,
    )
    for problem in report.problems:
        console.print(f"  {problem.where}: {problem.what}. What to do: {problem.advice}.", style="red", markup=False)
    for note in report.notes:
        console.print(f"  {note}", markup=False)


async def _check_partition(settings: Settings, mongodb_uri: str, partition: int) -> None:
    client = connect(mongodb_uri)
    try:
        topology = await load_topology(client[settings.database()])
    finally:
        await client.close()
    if partition >= topology.actors:
        raise FinalError(f"There is no partition {partition}: the stream has 0 to {topology.actors - 1}.")


async def _tail(partition: int, position: str, limit: int | None, follow: bool, as_json: bool) -> None:
    from actors.partition_client import PartitionClient
    from pistats.stream.frame import decode

    client = PartitionClient(partition)
    offset = await client.resolve(position)
    console, left = Console(highlight=False, soft_wrap=True), limit
    while left is None or left > 0:
        fetched = await client.fetch(offset, FETCH_BYTES, 1.0 if follow else 0.0)
        records = [record for frame in fetched.frames for record in decode(frame) if record.offset >= offset]
        for record in records[:left]:
            event = orjson.loads(record.payload)
            line = _line(partition, record.offset, record.append_time, event)
            if as_json:
                print(orjson.dumps(line).decode())
            else:
                words = (f"{record.offset:>10}", event["site"], event["name"], event.get("url", ""))
                console.print(_printable("  ".join(words)), markup=False)
        left = None if left is None else left - len(records)
        offset = max(offset, fetched.next_offset)
        if not follow and offset >= fetched.end_offset:
            return


def _printable(text: str) -> str:
    """Text of a stranger without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _line(partition: int, offset: int, append_time: int, event: dict[str, Any]) -> dict[str, Any]:
    return {
        "partition": partition,
        "offset": offset,
        "append_time": append_time,
        "event_id": event.get("event_id"),
        "event": event,
    }

"""An archive run that kills its own process: `archive_process.py URI GROUP SYSTEM ROOT STEP`.

STEP is one of `HOOKS`, or `none`. Before it dies in a transaction it writes the session's id, so that a test can end
what MongoDB would keep open for a minute.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession

from pistats.mongo.client import connect
from pistats.warehouse.archive import Archive
from pistats.warehouse.manifest import Manifest
from pistats.warehouse.storage import Storage
from pistats.warehouse.writer import FileWriter

UNIT_EVENTS = 20


def die(*arguments: Any) -> None:
    for argument in arguments:
        if isinstance(argument, AsyncClientSession):
            print(bytes(argument.session_id["id"]).hex(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(owner: type, name: str) -> Callable[[], None]:
    """Kill the process when this method has done its work."""

    def hook() -> None:
        method = getattr(owner, name)

        async def dying(*arguments: Any) -> Any:
            await method(*arguments)
            die(*arguments)

        setattr(owner, name, dying)

    return hook


def tear() -> None:
    """Kill the process in the middle of a file."""

    def create(storage: Storage, path: str) -> None:
        file = Path(storage.location(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"PAR1 and no more")
        die()

    Storage.create = create  # type: ignore[method-assign, assignment]


HOOKS = {
    "half a file": tear,
    "a unit is written": then_die(Archive, "write"),
    "chunks are taken": then_die(Archive, "_take"),
    "files are listed": then_die(Manifest, "add"),
    "dates are marked": then_die(Manifest, "mark_dirty"),
    "committed": then_die(Archive, "publish"),
}


async def main(uri: str, group: str, system: str, root: str, step: str) -> None:
    if step != "none":
        HOOKS[step]()
    storage = Storage(root)
    async with connect(uri) as client:
        archive = Archive(
            client[group], client[system], storage, FileWriter(storage, "live", "run"), unit_events=UNIT_EVENTS
        )
        await archive.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:6]))

"""One run of a job from begin to end: what it is given, and what is recorded about it."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import AsyncMongoClient

from pistats.consumer.groups import Groups
from pistats.errors import FinalError
from pistats.jobs.arguments import JobArguments
from pistats.jobs.progress import Progress, Recorder
from pistats.jobs.runs import RUNS, Runs
from pistats.local import runtime
from pistats.mongo.client import Document, connect, connect_blocking
from pistats.mongo.indexes import Database
from pistats.settings import Settings
from pistats.sites import SiteStore

log = logging.getLogger(__name__)

STOPPED = "It was stopped. What it has done stays; run it again for the rest."
"""Recorded of a run that `ray job stop`, Ctrl-C or the end of the system has ended."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the work of a job is given, once for each consumer group."""

    settings: Settings
    mongodb_uri: str
    arguments: JobArguments
    run_id: str
    """Names this run, and begins the names of the files that it writes."""
    system: Database
    group: Database
    group_name: str
    progress: Progress


Work = Callable[[Job], Awaitable[Mapping[str, Any]]]
"""Does the job for one group, and returns what is worth knowing about it. Doing it again changes nothing."""


def settings_of_environment() -> tuple[Settings, str]:
    """The settings, and MongoDB's URI, of the system that this process belongs to.

    From `PISTATS_*`, as the schedule and `pistats job` set them for a job; else from the note that `pistats up` and
    `pistats deploy` leave in the data directory. Raises ConfigurationError when there is neither.
    """
    settings = Settings()
    uri = settings.mongodb.uri or os.environ.get("MONGODB_URI")
    return settings, uri or runtime.read(settings.data).mongodb_uri


def new_run_id(name: str) -> str:
    """A name for a run that nobody named."""
    return f"{name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


def carry_out(
    name: str,
    work: Work,
    arguments: JobArguments,
    run_id: str,
    settings: Settings,
    mongodb_uri: str,
    *,
    once: bool = False,
) -> Mapping[str, Any]:
    """Do the work for every group that is asked for, and record how it went. The results by group.

    `once`: the work minds all groups itself, and is done for the first one only.

    Raises what the work raised, after it is recorded; the groups behind it are left for the next run.
    """

    def say(text: str) -> None:
        print(text, flush=True)

    progress = Progress(say=say)
    with connect_blocking(mongodb_uri) as client:
        recorder = Recorder(progress, client[settings.database()][RUNS], run_id)
        return asyncio.run(_carry_out(name, work, arguments, run_id, settings, mongodb_uri, progress, recorder, once))


async def _carry_out(
    name: str,
    work: Work,
    arguments: JobArguments,
    run_id: str,
    settings: Settings,
    mongodb_uri: str,
    progress: Progress,
    recorder: Recorder,
    once: bool,
) -> Mapping[str, Any]:
    client = connect(mongodb_uri)
    runs = Runs(client[settings.database()])
    try:
        await runs.start(run_id, name, arguments)
        try:
            with recorder:
                groups = await groups_to_work_for(client[settings.database()], settings, arguments)
                results = {
                    group: dict(await work(_job(client, arguments, run_id, settings, mongodb_uri, progress, group)))
                    for group in (groups[:1] if once else groups)
                }
        except asyncio.CancelledError:
            await runs.end(run_id, error=STOPPED)
            raise
        except BaseException as error:
            await runs.end(run_id, error=f"{type(error).__name__}: {error}")
            raise
        await runs.end(run_id, result=results)
        return results
    finally:
        await client.close()


def _job(
    client: AsyncMongoClient[Document],
    arguments: JobArguments,
    run_id: str,
    settings: Settings,
    mongodb_uri: str,
    progress: Progress,
    group: str,
) -> Job:
    return Job(
        settings=settings,
        mongodb_uri=mongodb_uri,
        arguments=arguments,
        run_id=run_id,
        system=client[settings.database()],
        group=client[settings.database(group)],
        group_name=group,
        progress=progress,
    )


async def groups_to_work_for(system: Database, settings: Settings, arguments: JobArguments) -> list[str]:
    """The groups to work for, the one that the readers show first.

    Raises FinalError for a group or a site that isn't there: a job that finds nothing to do would look like success.
    """
    if arguments.site is not None and await SiteStore(system).get(arguments.site) is None:
        raise FinalError(f"There is no site called {arguments.site!r}: `pistats site list` shows the names.")
    registered = await Groups(system, settings).list()
    shown_first = sorted(registered, key=lambda group: group.state != "live")
    names = [group.name for group in shown_first if group.state != "dropping"]
    if arguments.group is None:
        return names
    if arguments.group not in names:
        raise FinalError(f"There is no consumer group {arguments.group}: `pistats group list` shows them.")
    return [arguments.group]

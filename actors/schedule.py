"""The schedule of jobs, as the supervisor runs it."""

import os
import socket
from collections.abc import Sequence

import ray

from actors.job_submission import RayJobs, job_settings
from pistats.consumer.groups import Groups
from pistats.jobs.plan import plan
from pistats.jobs.schedule import Scheduler
from pistats.mongo.indexes import Database
from pistats.settings import Settings

TICK_S = 10.0
"""Between two looks at what is due: six reads, and a write every 30 s."""


def scheduler(settings: Settings, mongodb_uri: str, system: Database) -> Scheduler:
    """Submits jobs to the cluster that this process is part of, by the same settings."""
    jobs = RayJobs(ray.get_runtime_context().gcs_address, job_settings(settings, mongodb_uri))
    groups = Groups(system, settings)

    async def databases() -> Sequence[Database]:
        return [groups.database(group.name) for group in await groups.list() if group.state != "dropping"]

    owner = f"{socket.gethostname()} {os.getpid()}"
    return Scheduler(system, databases, plan(settings.jobs), jobs.launch, jobs.failure, owner)

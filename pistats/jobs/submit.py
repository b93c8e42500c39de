"""Submitting a run so that the same work runs once at a time, whoever asks for it and however often."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

from pistats.jobs.arguments import JobArguments
from pistats.jobs.runs import JobRun, Runs

Launch = Callable[[str, str, JobArguments], Awaitable[None]]
"""Hands (run id, job, arguments) to Ray. Raises PistatsError when it doesn't take it."""


async def submit(runs: Runs, launch: Launch, job: str, arguments: JobArguments) -> JobRun:
    """The run that does this work: the one under way, else a new one, which is submitted.

    Its id is made of the job, the work and how often that was submitted before, so that two who submit the same work
    at the same time get the same run. Raises what `launch` raises; the run is then recorded as failed.
    """
    work = f"{job}-{replace(arguments, run_id=None).digest()}"
    while True:
        last = await runs.last_numbered(work)
        if last is not None and not last.ended:
            return last
        run_id = f"{work}-{1 if last is None else number_of(last.id) + 1}"
        if await launch_once(runs, launch, run_id, job, arguments):
            found = await runs.find(run_id)
            assert found is not None
            return found


async def launch_once(runs: Runs, launch: Launch, run_id: str, job: str, arguments: JobArguments) -> bool:
    """Submit the run unless it was claimed before, by whomever. Whether this call did it."""
    named = replace(arguments, run_id=run_id)
    if not await runs.claim(run_id, job, named):
        return False
    try:
        await launch(run_id, job, named)
    except Exception as error:
        await runs.end(run_id, error=f"It could not be submitted: {error}")
        raise
    return True


def number_of(run_id: str) -> int:
    """The number at the end of a run's id: how often this work was submitted."""
    found = re.search(r"-(\d+)$", run_id)
    return int(found.group(1)) if found else 0

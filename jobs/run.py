"""The shell of every job: `python -m jobs.NAME`, alone or by `ray job submit -- python -m jobs.NAME …`.

A job's module is its work and `def main() -> None: run("NAME", work)`. Here it gets its arguments, the system's
settings, the Ray cluster that it runs on, and its record in `job_runs`.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pistats.errors import PistatsError
from pistats.jobs.arguments import parse_arguments
from pistats.jobs.job import Work, carry_out, new_run_id, settings_of_environment
from pistats.jobs.runs import RUNS, result_lines
from pistats.local import runtime
from pistats.local.ray_head import ray_auth
from pistats.mongo.client import connect_blocking
from pistats.settings import Settings

NICENESS = 10
"""Of a job's own process and its tasks': ingest, consumers and readers run at 0 and come first."""
FAILED = 1
HELPERS = (("datasets_stats_actor", "_dataset_stats_actor"), ("AutoscalingCoordinator", "AutoscalingCoordinator"))
"""Name and Ray namespace of what Ray Data (2.60) starts and doesn't stop."""


def run(name: str, work: Work, *, options: Sequence[str] = (), reads_files: bool = False, once: bool = False) -> None:
    """Do the work and end the process: 0 when it is done, 1 when it failed, 2 for wrong usage.

    `work` runs once for each consumer group, as a coroutine; it may call Ray, which is connected. Its results are
    recorded in `job_runs` under the run's id, and printed. `options`: further words of the command line that this job
    knows, as `--verify`; they come in `arguments.options`. `once`: not for each group, but once for all of them.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    arguments = parse_arguments(name, sys.argv[1:], options=options, reads_files=reads_files)
    os.nice(NICENESS)
    try:
        settings, mongodb_uri = settings_of_environment()
        run_id = arguments.run_id or _submission_id() or new_run_id(name)
        join_cluster(settings)
        try:
            results = carry_out(name, work, arguments, run_id, settings, mongodb_uri, once=once)
        finally:
            dismiss_helpers(settings, mongodb_uri)
    except PistatsError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(FAILED)
    for line in result_lines(results):
        print(line, flush=True)


def join_cluster(settings: Settings) -> None:
    """Be a driver of the cluster that this process runs on, else of the system of the data directory.

    Ray Data leaves one core alone, and every task of this job gives way to the rest of the system.
    """
    address = os.environ.get("RAY_ADDRESS", "auto")
    if "RAY_ADDRESS" not in os.environ:
        system = runtime.read(settings.data)
        address = system.ray_address
        if system.ray_token_path is not None:
            os.environ.update(ray_auth(system.ray_token_path))
    import ray  # after the environment is set: Ray reads it when it is first used

    ray.init(
        address=address,
        namespace="pistats",
        logging_level=logging.WARNING,
        runtime_env={"env_vars": {"RAY_worker_niceness": str(NICENESS)}},
    )
    _leave_a_core(ray)


def _leave_a_core(ray: Any) -> None:
    context = ray.data.DataContext.get_current()
    cores = int(ray.cluster_resources().get("CPU", 1))
    context.execution_options.resource_limits = ray.data.ExecutionResources(cpu=max(1, cores - 1))
    context.execution_options.preserve_order = True  # so that a run's files come out the same again
    context.enable_progress_bars = sys.stderr.isatty()  # a log file gets the lines of `Progress` instead
    context.print_on_execution_start = False


def dismiss_helpers(settings: Settings, mongodb_uri: str) -> None:
    """End the two actors that Ray Data leaves running for ever, unless another job is at work.

    They take 250 MB and 1.2 % of a core of an idle system. Ray Data makes them again when it needs them.
    """
    import ray

    with connect_blocking(mongodb_uri) as client:
        if client[settings.database()][RUNS].count_documents({"state": "running"}):
            return
    for name, namespace in HELPERS:
        with suppress(ValueError):  # there is none
            ray.kill(ray.get_actor(name, namespace=namespace))


def _submission_id() -> str | None:
    """What this job was submitted as; None when nobody submitted it."""
    config = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    found = config.get("metadata", {}).get("job_submission_id")
    return None if found is None else str(found)

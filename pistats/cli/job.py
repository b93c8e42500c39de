"""`pistats job`: batch jobs, by Ray's job API."""

import asyncio
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption, JsonOption
from pistats.jobs.arguments import JobArguments
from pistats.jobs.job import groups_to_work_for
from pistats.jobs.runs import JobRun, Runs, result_lines
from pistats.jobs.submit import submit
from pistats.local import runtime
from pistats.mongo.client import connect
from pistats.settings import Settings

job_commands = typer.Typer(
    help="Batch jobs over the warehouse. They run by themselves at their times; run one now, or look at the last runs.",
    no_args_is_help=True,
)

POLL_S = 0.3
ASK_RAY_S = 3.0
"""Between two questions to Ray whether a job that says nothing has died."""

FromOption = Annotated[str | None, typer.Option("--from", metavar="DATE", help="First date (UTC). Unset: all to do.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="DATE", help="Last date (UTC), inclusive.")]
SiteOption = Annotated[str | None, typer.Option(help="One site only.")]
GroupOption = Annotated[str | None, typer.Option(help="One consumer group only. Unset: all of them.")]
VerifyOption = Annotated[bool, typer.Option("--verify", help="Compare with the real-time cohorts, cell by cell.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Stay until it has ended, and show how far it is.")]

VERIFYING = ("retention",)
"""The jobs that know `--verify`."""


def _add(job: str, help_text: str, example: str) -> None:
    """Make `pistats job JOB`, which submits that job."""

    def command(
        from_date: FromOption = None,
        to_date: ToOption = None,
        site: SiteOption = None,
        group: GroupOption = None,
        verify: VerifyOption = False,
        wait: WaitOption = False,
        data: DataOption = DEFAULT_DATA,
    ) -> None:
        options = ("--verify",) if verify else ()
        _run(job, _arguments(from_date, to_date, site, group, options), wait, data)

    signature = inspect.signature(command)
    known = [one for one in signature.parameters.values() if one.name != "verify" or job in VERIFYING]
    command.__signature__ = signature.replace(parameters=known)  # type: ignore[attr-defined]
    job_commands.command(job, help=help_text, epilog=f"Example: pistats job {example}")(command)


_add(
    "archive",
    "Move the events that wait in MongoDB into Parquet files. By itself every five minutes, when some wait.",
    "archive --wait",
)
_add(
    "rollup",
    "Compute the totals per hour, day, week and month of days that are over. By itself when their events change.",
    "rollup --from 2026-11-01 --to 2026-11-30 --wait",
)
_add(
    "retention",
    "Compute the retention cohorts from the warehouse. By itself once a day.",
    "retention --verify --wait",
)
_add(
    "compact",
    "Merge small Parquet files, and remove what no reader needs any more. By itself every hour, if there is work.",
    "compact --site news --wait",
)
_add(
    "parity",
    "Compare closed days in the warehouse with the live counts and the ledger. By itself once a day.",
    "parity --from 2026-11-23 --to 2026-11-23 --wait",
)


@job_commands.command("list", epilog="Example: pistats job list --limit 5")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    as_json: JsonOption = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Show the last runs, newest first, and why one failed. Exit 1 when the last run of some job has failed."""
    runs = asyncio.run(_newest(data, limit))
    if as_json:
        print(orjson.dumps([asdict(run) for run in runs]).decode())
    else:
        Console().print(_table(runs))
    last = {run.job: run.state for run in reversed(runs) if run.ended}
    raise typer.Exit(1 if "failed" in last.values() else 0)


def _arguments(
    from_date: str | None, to_date: str | None, site: str | None, group: str | None, options: tuple[str, ...] = ()
) -> JobArguments:
    first, last = _date(from_date, "--from"), _date(to_date, "--to")
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"{first} is after {last}", param_hint="--from")
    return JobArguments(first, last, site, group, options=options)


def _date(text: str | None, option: str) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no date such as 2026-11-23", param_hint=option) from error


def _run(job: str, arguments: JobArguments, wait: bool, data: Path) -> None:
    run = asyncio.run(_submit(job, arguments, wait, data.resolve()))
    if not wait:
        print(run.id)
        return
    if run.state == "succeeded":
        for line in result_lines(run.result or {}):
            print(line)
        return
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"{run.id}: {run.error}", style="red", markup=False)
    raise typer.Exit(1)


async def _submit(job: str, arguments: JobArguments, wait: bool, data: Path) -> JobRun:
    from actors.job_submission import RayJobs, job_settings
    from pistats.local.ray_head import ray_auth

    system = runtime.read(data)
    if system.ray_token_path is not None:
        os.environ.update(ray_auth(system.ray_token_path))
    settings = Settings(data=data)
    ray_jobs = RayJobs(system.jobs_url or system.ray_address, job_settings(settings, system.mongodb_uri))
    client = connect(system.mongodb_uri)
    try:
        system_database = client[settings.database()]
        await groups_to_work_for(system_database, settings, arguments)  # a misspelt one is no failed run
        runs = Runs(system_database)
        await runs.give_up_silent()
        run = await submit(runs, ray_jobs.launch, job, arguments)
        return await _ended(runs, ray_jobs.failure, run) if wait else run
    finally:
        await client.close()


async def _ended(runs: Runs, failure: Callable[[str], Any], run: JobRun) -> JobRun:
    """The run when it has ended. Meanwhile its progress is shown; Ctrl-C leaves it running."""
    asked = 0.0
    with _progress() as progress:
        task = progress.add_task(run.job, total=None)
        while not run.ended:
            await asyncio.sleep(POLL_S)
            asked += POLL_S
            if asked >= ASK_RAY_S and (reason := await failure(run.id)) is not None:
                await runs.end(run.id, error=reason)
            asked %= ASK_RAY_S
            run = await runs.find(run.id) or run
            news = run.progress
            progress.update(
                task, description=news.get("step") or run.job, completed=news.get("done", 0), total=news.get("total")
            )
    return run


def _progress() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=Console(file=sys.stderr), transient=True)


async def _newest(data: Path, limit: int) -> list[JobRun]:
    system = runtime.read(data)
    client = connect(system.mongodb_uri)
    try:
        runs = Runs(client[Settings(data=data).database()])
        await runs.give_up_silent()
        return await runs.newest(limit=limit)
    finally:
        await client.close()


def _table(runs: list[JobRun]) -> Table:
    table = Table(Column("run", no_wrap=True), Column("state", no_wrap=True), "started", "seconds", "what it says")
    for run in runs:
        began = run.started_time or run.created_time
        seconds = "" if run.ended_time is None else f"{(run.ended_time - began) / 1000:.1f}"
        table.add_row(
            run.id, run.state, f"{datetime.fromtimestamp(began / 1000, UTC):%Y-%m-%d %H:%M:%S}", seconds, _words(run)
        )
    return table


def _words(run: JobRun) -> str:
    from rich.markup import escape

    if run.error is not None:
        return escape(run.error.strip().splitlines()[0])
    if run.result is not None:
        return escape(orjson.dumps(run.result, default=str).decode())
    step, done, total = (run.progress.get(name) for name in ("step", "done", "total"))
    return escape(f"{step}: {done:,}" + (f" of {total:,}" if total else "")) if step else ""

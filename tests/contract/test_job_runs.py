"""The record of job runs, and the frame in which a job's work is done, on a real MongoDB."""

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from pistats.consumer.groups import Groups
from pistats.errors import FinalError
from pistats.jobs.arguments import JobArguments, parse_arguments
from pistats.jobs.job import STOPPED, Job, carry_out
from pistats.jobs.runs import SILENT_MS, Runs
from pistats.mongo.indexes import Database
from pistats.settings import MongoSettings, Settings

ARGUMENTS = JobArguments(from_date=date(2026, 11, 1), site="news", options=("--verify",))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runs(database: Database, clock: Clock) -> Runs:
    return Runs(database, clock)


@pytest.fixture
def settings(database: Database) -> Settings:
    return Settings(mongodb=MongoSettings(database_prefix=database.name))


async def test_of_many_that_claim_a_run_one_gets_it(runs: Runs) -> None:
    claims = await asyncio.gather(*(runs.claim("rollup-1", "rollup", ARGUMENTS) for _ in range(8)))
    assert sorted(claims) == [False] * 7 + [True]


async def test_a_run_that_was_killed_begins_again_under_its_name(runs: Runs, clock: Clock) -> None:
    await runs.claim("rollup-1", "rollup", ARGUMENTS)
    await runs.start("rollup-1", "rollup", ARGUMENTS)
    clock.now += SILENT_MS + 1
    assert await runs.give_up_silent() == ["rollup-1"]
    assert (await runs.newest())[0].error is not None

    again = await runs.start("rollup-1", "rollup", ARGUMENTS)

    assert (again.state, again.error, again.ended_time) == ("running", None, None)
    assert again.created_time == 1_000_000
    assert again.arguments == ("--from", "2026-11-01", "--site", "news", "--verify")


async def test_the_first_word_about_the_end_counts(runs: Runs) -> None:
    await runs.start("parity-1", "parity", JobArguments())
    await runs.end("parity-1", result={"live": {"dates": 1}})
    await runs.end("parity-1", error="too late")
    found = await runs.find("parity-1")
    assert found is not None
    assert (found.state, found.result, found.error) == ("succeeded", {"live": {"dates": 1}}, None)


async def test_only_ended_runs_are_forgotten(runs: Runs, clock: Clock) -> None:
    await runs.start("a", "rollup", ARGUMENTS)
    await runs.end("a", result={})
    await runs.start("b", "rollup", ARGUMENTS)
    clock.now += 10_000
    await runs.forget_old(keep_s=5)
    assert [run.id for run in await runs.newest()] == ["b"]


async def test_the_work_is_done_for_every_group_and_its_results_are_recorded(
    database: Database, mongo_uri: str, settings: Settings
) -> None:
    groups = Groups(database, settings)
    await groups.settle()
    await groups.create("shadow", "latest")
    await groups.create("gone", "latest")
    await groups.drop("gone")

    async def work(job: Job) -> Mapping[str, Any]:
        job.progress.begin("counting", 2)
        job.progress.advance()
        return {"database": job.group.name, "run": job.run_id}

    try:
        results = await asyncio.to_thread(carry_out, "rollup", work, JobArguments(), "rollup-7", settings, mongo_uri)
        assert list(results) == ["live", "shadow"]
        assert results["shadow"] == {"database": f"{database.name}_shadow", "run": "rollup-7"}
        recorded = await Runs(database).find("rollup-7")
        assert recorded is not None
        assert (recorded.state, recorded.result) == ("succeeded", results)
    finally:
        for name in ("live", "shadow", "gone"):
            await database.client.drop_database(f"{database.name}_{name}")


async def test_a_failure_is_recorded_with_its_reason(database: Database, mongo_uri: str, settings: Settings) -> None:
    await Groups(database, settings).settle()

    async def work(job: Job) -> Mapping[str, Any]:
        raise FinalError("no such column")

    try:
        with pytest.raises(FinalError, match="no such column"):
            await asyncio.to_thread(carry_out, "rollup", work, JobArguments(), "rollup-8", settings, mongo_uri)
        recorded = await Runs(database).find("rollup-8")
        assert recorded is not None
        assert (recorded.state, recorded.error) == ("failed", "FinalError: no such column")
    finally:
        await database.client.drop_database(f"{database.name}_live")


@pytest.mark.parametrize(
    ("arguments", "said"), [(JobArguments(site="nwes"), "no site called 'nwes'"), (JobArguments(group="lvie"), "lvie")]
)
async def test_a_misspelt_site_or_group_is_an_error_and_not_a_run_that_found_nothing(
    database: Database, mongo_uri: str, settings: Settings, arguments: JobArguments, said: str
) -> None:
    await Groups(database, settings).settle()

    async def work(job: Job) -> Mapping[str, Any]:
        raise AssertionError("there is nothing to work for")

    try:
        with pytest.raises(FinalError, match=said):
            await asyncio.to_thread(carry_out, "rollup", work, arguments, "rollup-9", settings, mongo_uri)
    finally:
        await database.client.drop_database(f"{database.name}_live")


async def test_a_run_that_is_stopped_says_so(database: Database, mongo_uri: str, settings: Settings) -> None:
    await Groups(database, settings).settle()

    async def work(job: Job) -> Mapping[str, Any]:
        raise asyncio.CancelledError  # what asyncio makes of SIGINT and of Ray's `job stop`

    try:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.to_thread(carry_out, "rollup", work, JobArguments(), "rollup-10", settings, mongo_uri)
        recorded = await Runs(database).find("rollup-10")
        assert recorded is not None
        assert (recorded.state, recorded.error) == ("failed", STOPPED)
    finally:
        await database.client.drop_database(f"{database.name}_live")


def test_arguments_survive_the_command_line() -> None:
    words = ARGUMENTS.words()
    assert parse_arguments("rollup", words, options=["--verify"]) == ARGUMENTS


def test_the_same_work_has_the_same_digest_whatever_the_run_is_called() -> None:
    named = parse_arguments("rollup", [*ARGUMENTS.words(), "--run-id", "mine"], options=["--verify"])
    assert named.digest() == ARGUMENTS.digest() != JobArguments().digest()


def test_files_are_read_only_by_jobs_that_want_them() -> None:
    assert parse_arguments("backfill", ["--site", "news", "a.log", "b.log"], reads_files=True).files == (
        "a.log",
        "b.log",
    )

"""The same work runs once at a time, whoever submits it."""

import asyncio

import pytest

from pistats.errors import UnavailableError
from pistats.jobs.arguments import JobArguments
from pistats.jobs.runs import Runs
from pistats.jobs.submit import launch_once, submit
from pistats.mongo.indexes import Database

NEWS = JobArguments(site="news")


class Launched:
    """Stands for Ray: keeps what it was handed."""

    def __init__(self, refusal: str | None = None) -> None:
        self.runs: list[str] = []
        self._refusal = refusal

    async def __call__(self, run_id: str, job: str, arguments: JobArguments) -> None:
        if self._refusal:
            raise UnavailableError(self._refusal)
        assert arguments.run_id == run_id
        self.runs.append(run_id)


async def test_all_who_submit_the_same_work_get_one_run(database: Database) -> None:
    runs, ray = Runs(database), Launched()
    got = await asyncio.gather(*(submit(runs, ray, "rollup", NEWS) for _ in range(5)))
    assert {run.id for run in got} == set(ray.runs)
    assert len(ray.runs) == 1


async def test_work_that_has_ended_can_be_submitted_again(database: Database) -> None:
    runs, ray = Runs(database), Launched()
    first = await submit(runs, ray, "rollup", NEWS)
    await runs.end(first.id, error="killed")
    second = await submit(runs, ray, "rollup", NEWS)
    assert [first.id, second.id] == [f"rollup-{NEWS.digest()}-1", f"rollup-{NEWS.digest()}-2"] == ray.runs


async def test_other_work_is_another_run(database: Database) -> None:
    runs, ray = Runs(database), Launched()
    await submit(runs, ray, "rollup", NEWS)
    await submit(runs, ray, "rollup", JobArguments(site="shop"))
    await submit(runs, ray, "parity", NEWS)
    assert len(set(ray.runs)) == 3


async def test_what_ray_refuses_is_recorded_as_failed(database: Database) -> None:
    runs = Runs(database)
    with pytest.raises(UnavailableError):
        await launch_once(runs, Launched("no agent"), "archive-1", "archive", JobArguments())
    found = await runs.find("archive-1")
    assert found is not None
    assert (found.state, found.error) == ("failed", "It could not be submitted: no agent")

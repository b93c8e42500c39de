"""The schedule on a real MongoDB, with a clock that the test moves and a Ray that it scripts."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from pistats.errors import UnavailableError
from pistats.jobs.arguments import JobArguments
from pistats.jobs.failing import failing_jobs
from pistats.jobs.leader import LEASE_MS, LeaderLock
from pistats.jobs.plan import DAY_MS, plan
from pistats.jobs.runs import Runs
from pistats.jobs.schedule import RETRY_MS, Scheduler
from pistats.mongo.indexes import Database
from pistats.settings import JobSettings

MONDAY = 1_700_438_400_000
"""2023-11-20T00:00:00Z."""
OFTEN_MS = 300_000


class World:
    """The clock, and Ray: what was launched, and what dies without a word."""

    def __init__(self, database: Database) -> None:
        self.now = MONDAY + 12 * 3_600_000
        self.launched: list[tuple[str, JobArguments]] = []
        self.dead: dict[str, str] = {}
        self.refuses = False
        self.database = database
        self.runs = Runs(database, self.clock)

    def clock(self) -> int:
        return self.now

    async def launch(self, run_id: str, job: str, arguments: JobArguments) -> None:
        if self.refuses:
            raise UnavailableError("no agent")
        self.launched.append((run_id, arguments))

    async def failure(self, run_id: str) -> str | None:
        return self.dead.get(run_id)

    def scheduler(self, owner: str = "first") -> Scheduler:
        async def groups() -> Sequence[Database]:
            return [self.database]

        return Scheduler(self.database, groups, plan(JobSettings()), self.launch, self.failure, owner, self.clock)

    def taken(self) -> list[str]:
        """The runs launched since the last look."""
        taken, self.launched = [run_id for run_id, _ in self.launched], []
        return taken

    async def ends(self, run_id: str, error: str | None = None, after_ms: int = 2_000) -> None:
        await self.runs.start(run_id, run_id.partition("-")[0], JobArguments())
        self.now += after_ms
        await self.runs.end(run_id, result={}, error=error)

    async def waits(self, collection: str) -> None:
        await self.database[collection].insert_one({"created_at": datetime.fromtimestamp(self.now / 1000, UTC)})

    async def marks(self, date: str, site: str = "news") -> None:
        """Events of that date were archived now."""
        mark = {"version": str(self.now), "marked_at": datetime.fromtimestamp(self.now / 1000, UTC)}
        await self.database["dirty_dates"].update_one({"_id": {"site": site, "date": date}}, {"$set": mark}, True)

    async def rollups_of(self, hours: int) -> list[str]:
        """When rollup runs are submitted in the next hours, each of which does its work at once."""
        scheduler, found = self.scheduler(), []
        for _ in range(hours * 4):
            self.now += 900_000
            await scheduler.tick()
            for run_id in self.taken():
                found += [run_id[16:20]] if run_id.startswith("rollup") else []
                await self.ends(run_id, after_ms=0)
            await scheduler.tick()
        return found


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def test_an_idle_system_runs_nothing(world: World) -> None:
    scheduler = world.scheduler()
    for _ in range(20):
        await scheduler.tick()
        world.now += OFTEN_MS
    assert world.taken() == []


async def test_waiting_chunks_are_archived_and_changed_dates_rolled_up_after_it(world: World) -> None:
    scheduler = world.scheduler()
    await world.waits("chunks")
    await scheduler.tick()
    assert world.taken() == ["archive-20231120T120000-1"]
    await scheduler.tick()
    assert world.taken() == []  # one is under way

    await world.ends("archive-20231120T120000-1")
    await world.database["chunks"].delete_many({})
    await world.marks("2023-11-19")
    await scheduler.tick()
    world.now += OFTEN_MS
    await scheduler.tick()
    assert world.taken() == ["rollup-20231120T120500-1"]


async def test_the_date_of_today_is_rolled_up_hourly_and_nothing_without_news(world: World) -> None:
    await world.database["sites"].insert_one({"_id": "news", "timezone": "Asia/Kolkata"})
    assert await world.rollups_of(1) == []
    world.now += 600_000
    await world.marks("2023-11-20")
    assert await world.rollups_of(4) == ["1410"]
    await world.marks("2023-11-20")
    await world.marks("2023-11-18")
    assert await world.rollups_of(1) == ["1725", "1810"]
    # Its day ends at half past six in the evening by UTC.
    assert await world.rollups_of(8) == ["1910"]


async def test_a_job_rests_four_times_as_long_as_it_ran(world: World) -> None:
    scheduler = world.scheduler()
    await world.waits("chunks")
    await scheduler.tick()
    await world.ends(world.taken()[0], after_ms=200_000)
    world.now += 4 * 200_000 - 1
    await scheduler.tick()
    assert world.taken() == []
    world.now += 1
    await scheduler.tick()
    assert len(world.taken()) == 1


async def test_missed_days_are_made_up_by_one_run_that_covers_them(world: World) -> None:
    scheduler = world.scheduler()
    await world.waits("files")
    await scheduler.tick()  # begins to count today
    assert world.taken() == []
    world.now += 3 * DAY_MS
    await world.scheduler("another").tick()
    parity = [arguments for run_id, arguments in world.launched if run_id.startswith("parity")]
    assert [(str(one.from_date), str(one.to_date)) for one in parity] == [("2023-11-20", "2023-11-22")]
    assert [run_id.partition("-")[0] for run_id, _ in world.launched] == ["parity", "retention", "compact"]


async def test_files_are_compacted_in_the_hour_after_they_came_and_once_a_day(world: World) -> None:
    scheduler = world.scheduler()
    await scheduler.tick()
    await world.waits("files")
    compacted = []
    for _ in range(30):
        world.now += 3_600_000
        await scheduler.tick()
        for run_id in world.taken():
            if run_id.startswith("compact"):
                compacted.append(run_id)
            await world.ends(run_id)
        await scheduler.tick()
    assert compacted == ["compact-20231120T123000-1", "compact-20231121T003000-1", "compact-20231121T023000-1"]


async def test_a_failure_is_repeated_later_and_later_and_stays_visible(world: World) -> None:
    scheduler = world.scheduler()
    await world.waits("chunks")
    pauses = []
    assert await failing_jobs(world.database) == []
    for attempt in range(1, 5):
        await scheduler.tick()
        (run_id,) = world.taken()
        assert run_id.endswith(f"-{attempt}")
        await world.ends(run_id, error="disk full")
        await scheduler.tick()  # takes note
        failed = world.now
        while not world.launched:
            world.now += 1_000
            await scheduler.tick()
            if world.launched:
                pauses.append(world.now - failed)
        world.launched.clear()
        await world.database["job_runs"].delete_many({"state": "pending"})
        await world.database["watermarks"].update_one({"_id": "archive"}, {"$set": {"run": None}})
    assert pauses == [RETRY_MS, 2 * RETRY_MS, 4 * RETRY_MS, 8 * RETRY_MS]
    assert {run.error for run in await world.runs.newest()} == {"disk full"}
    assert await failing_jobs(world.database) == ["the job archive has failed 4 times in a row: disk full"]


async def test_what_ray_refuses_is_tried_again(world: World) -> None:
    scheduler = world.scheduler()
    await world.waits("chunks")
    world.refuses = True
    await scheduler.tick()
    await scheduler.tick()
    world.refuses = False
    world.now += RETRY_MS
    await scheduler.tick()
    assert world.taken() == ["archive-20231120T120000-2"]


async def test_a_job_that_dies_without_a_word_has_failed(world: World) -> None:
    scheduler = world.scheduler()
    await world.waits("chunks")
    await scheduler.tick()
    (run_id,) = world.taken()
    world.dead[run_id] = "FAILED\nModuleNotFoundError"
    await scheduler.tick()
    found = await world.runs.find(run_id)
    assert found is not None
    assert (found.state, found.error) == ("failed", "FAILED\nModuleNotFoundError")


async def test_two_schedulers_never_submit_a_run_twice(world: World) -> None:
    await world.waits("chunks")
    # Without the leader's lock, as when one was paused while the other took over.
    schedulers = [world.scheduler(f"number {number}") for number in range(4)]
    for scheduler in schedulers:
        scheduler._leader.held = _always  # type: ignore[method-assign]
    for _ in range(5):
        await world.marks("2023-11-19")
        await asyncio.gather(*(scheduler.tick() for scheduler in schedulers))
        launched = world.taken()
        assert len(launched) == len(set(launched)) == 2
        for run_id in launched:
            await world.ends(run_id)
        await asyncio.gather(*(scheduler.tick() for scheduler in schedulers))
        world.now += OFTEN_MS


async def test_a_death_between_claim_and_note_submits_nothing_twice(world: World) -> None:
    await world.waits("chunks")
    dying = world.scheduler()
    await dying.tick()
    world.launched.clear()
    await world.database["watermarks"].update_one({"_id": "archive"}, {"$set": {"run": None}})
    world.now += LEASE_MS
    after = world.scheduler("after")
    await after.tick()
    assert world.taken() == []
    watermark = await world.database["watermarks"].find_one({"_id": "archive"})
    assert watermark is not None
    assert watermark["run"] == "archive-20231120T120000-1"


async def test_the_lock_of_a_dead_leader_runs_out(world: World) -> None:
    first = LeaderLock(world.database, "first", world.clock)
    second = LeaderLock(world.database, "second", world.clock)
    assert (await first.held(), await second.held()) == (True, False)
    world.now += LEASE_MS
    assert (await second.held(), await first.held()) == (True, False)


async def _always() -> bool:
    return True

"""When each job is due: `PLAN`, in the order in which due jobs start."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pistats.clock import now_ms
from pistats.jobs.arguments import JobArguments
from pistats.mongo.indexes import Database
from pistats.settings import JobSettings
from pistats.visitors.erasures import erasures_wait

DAY_MS = 86_400_000
DAILY_STEP_MS = 900_000
"""The daily jobs follow one another a quarter of an hour apart, so that they seldom wait for each other."""

Wanted = Callable[[Database, Database], Awaitable[bool]]
"""Whether the system's or a group's database holds work for a job."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One job and its times. A *slot* is the Unix ms at which a run became due; missed ones are made up by one run."""

    job: str
    period_ms: int
    phase_ms: int
    wanted: Wanted
    by_date: bool = False
    """The run is told the dates that have closed since the last one; else the job finds its work itself."""

    def slot(self, now: int) -> int:
        """The last moment at which this job became due."""
        return (now - self.phase_ms) // self.period_ms * self.period_ms + self.phase_ms

    def arguments(self, done: int, slot: int) -> JobArguments:
        """For the run of `slot`, when everything up to the slot `done` is done."""
        if not self.by_date:
            return JobArguments()
        return JobArguments(from_date=_date(done), to_date=_date(slot) - timedelta(days=1))

    def run_id(self, slot: int, attempt: int) -> str:
        """The same for everyone who wants this run."""
        return f"{self.job}-{datetime.fromtimestamp(slot / 1000, UTC):%Y%m%dT%H%M%S}-{attempt}"


def plan(settings: JobSettings) -> tuple[Planned, ...]:
    """Every scheduled job, in the order in which those that are due at the same moment start."""
    often = settings.archive_interval_s * 1000
    daily = settings.daily_hour * 3_600_000
    return (
        Planned("archive", often, 0, _archive_wanted),
        Planned("rollup", often, 0, _has("dirty_dates")),
        Planned("parity", DAY_MS, daily, _has("files"), by_date=True),
        Planned("retention", DAY_MS, daily + DAILY_STEP_MS, _has("files")),
        Planned("compact", DAY_MS, daily + 2 * DAILY_STEP_MS, _has("files")),
    )


async def _archive_wanted(system: Database, group: Database) -> bool:
    return await _has("chunks")(system, group) or await erasures_wait(system, now_ms())


def _has(collection: str) -> Wanted:
    async def look(_: Database, group: Database) -> bool:
        return await group[collection].find_one({}, {"_id": 1}) is not None

    return look


def _date(slot: int) -> date:
    return datetime.fromtimestamp(slot / 1000, UTC).date()

"""When each job is due: `PLAN`, in the order in which due jobs start."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pistats.clock import now_ms
from pistats.jobs.arguments import JobArguments
from pistats.mongo.indexes import Database
from pistats.settings import JobSettings
from pistats.visitors.calendar import QUARTER_MS
from pistats.visitors.erasures import erasures_wait
from pistats.visitors.zones import SiteZones

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
DAILY_STEP_MS = 900_000
"""The daily jobs follow one another a quarter of an hour apart, so that they seldom wait for each other."""
COMMIT_MS = 120_000
"""A mark is seen this long after its time at the latest: a transaction ends after a minute, and clocks differ."""


@dataclass(frozen=True, slots=True)
class Due:
    """A job's slot that is due, and one group that may hold work for it. Times in Unix ms."""

    system: Database
    group: Database
    done: int
    """The slot up to which everything is done."""
    slot: int


Wanted = Callable[[Due], Awaitable[bool]]
"""Whether there is work."""


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
    daily = settings.daily_hour * HOUR_MS
    return (
        Planned("archive", often, 0, _archive_wanted),
        Planned("rollup", often, 0, _rollup_wanted),
        Planned("parity", DAY_MS, daily, _has("files"), by_date=True),
        Planned("retention", DAY_MS, daily + DAILY_STEP_MS, _has("files")),
        Planned("compact", HOUR_MS, HOUR_MS // 2, _has_new_files(daily)),
    )


async def _archive_wanted(due: Due) -> bool:
    return await _has("chunks")(due) or await erasures_wait(due.system, now_ms())


async def _rollup_wanted(due: Due) -> bool:
    """Dates that are over have changed; once an hour also if today's has, or if a day of a site with marks has ended.

    While events come, today's date changes all the time, and means little for the days before it.
    """
    hour = due.slot // HOUR_MS * HOUR_MS
    hourly = due.done < hour
    since = min(due.done, hour - HOUR_MS) if hourly else due.done
    changed: dict[str, Any] = {"marked_at": {"$gte": datetime.fromtimestamp((since - COMMIT_MS) / 1000, UTC)}}
    if not hourly:
        changed["_id.date"] = {"$lt": _date(due.slot).isoformat()}
    if await due.group["dirty_dates"].find_one(changed, {"_id": 1}) is not None:
        return True
    return hourly and await _day_ended(due, since)


async def _day_ended(due: Due, since: int) -> bool:
    """Whether a day of a site with marked dates has ended between `since` and the slot."""
    sites = await due.group["dirty_dates"].distinct("_id.site")
    zones = SiteZones(due.system)
    await zones.learn(sites)
    days = [zones.days_of(site) for site in sites]
    return any(day[since // QUARTER_MS] != day[due.slot // QUARTER_MS] for day in days)


def _has(collection: str) -> Wanted:
    async def look(due: Due) -> bool:
        return await due.group[collection].find_one({}, {"_id": 1}) is not None

    return look


def _has_new_files(daily_ms: int) -> Wanted:
    """Files to merge, or replaced ones whose time may be over. Once a day all are looked at, for what expires."""

    async def look(due: Due) -> bool:
        if due.slot // DAY_MS != due.done // DAY_MS or due.slot % DAY_MS // HOUR_MS == daily_ms // HOUR_MS:
            return await _has("files")(due)
        new = {"created_at": {"$gte": datetime.fromtimestamp(due.done / 1000, UTC)}}
        return await _has("removed_files")(due) or await due.group["files"].find_one(new, {"_id": 1}) is not None

    return look


def _date(slot: int) -> date:
    return datetime.fromtimestamp(slot / 1000, UTC).date()

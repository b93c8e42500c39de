"""What whoever runs piStats looks at, in one report: partitions, ledger, dead letters, jobs, groups, disk."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from pistats.clock import Clock, now_ms
from pistats.consumer.checkpoints import Standing, standing
from pistats.consumer.dead_letters import ALL, DeadLetter, DeadLetters, LetterCount, Which, redoing
from pistats.consumer.groups import Group, Groups
from pistats.jobs.plan import plan
from pistats.jobs.runs import JobRun, Runs
from pistats.mongo.indexes import Database
from pistats.reports.ledger import LedgerRow, ledger_rows
from pistats.settings import Settings
from pistats.status import SystemReport
from pistats.status_board import Logs, StatusBoard
from pistats.system_overview import system_overview

LEDGER_MS = 15 * 60_000
"""Minutes of the ledger that are shown one by one."""
MAX_LETTERS = 20

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class JobLine:
    """A scheduled job. `last`: its newest run; `next_time`: when it is looked at next, in Unix ms."""

    job: str
    last: JobRun | None
    next_time: int


@dataclass(frozen=True, slots=True)
class GroupLine:
    """A consumer group and how it gets on. `lag_events`: behind the ends of the logs; None while those are silent."""

    group: Group
    stands: Standing
    lag_events: int | None


@dataclass(frozen=True, slots=True)
class Letters:
    """The newest dead letters of those asked for; `counts` are of all, `redoing` wait to be tried again."""

    which: Which
    newest: Sequence[DeadLetter]
    counts: Sequence[LetterCount]
    redoing: int

    @property
    def total(self) -> int:
        """All that there are."""
        return sum(one.count for one in self.counts)

    @property
    def matching(self) -> int:
        """All of those asked for."""
        stage, reason = self.which.stage, self.which.reason
        return sum(one.count for one in self.counts if stage in (None, one.stage) and reason in (None, one.reason))


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of the disk that holds the data directory, of the logs, and of the warehouse's files."""

    used: int
    total: int
    logs: int
    warehouse: int
    warehouse_files: int


@dataclass(frozen=True, slots=True)
class OperationsReport:
    """As of now. `system` is None until the supervisor has answered once."""

    system: SystemReport | None
    ledger: Sequence[LedgerRow]
    letters: Letters
    jobs: Sequence[JobLine]
    groups: Sequence[GroupLine]
    disk: Disk
    versions: Mapping[str, str]
    events_per_s: Mapping[int, float]
    """By partition, over the last full minute."""


class Operations:
    """Reads the report. Costs a dozen small queries; nothing of it is kept."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], settings: Settings, clock: Clock = now_ms) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._system = client[settings.database()]
        self._board = StatusBoard(self._system)

    async def report(self, group: Database, which: Which = ALL) -> OperationsReport:
        """All of it; `group` is the database of the group that the readers show. Raises when MongoDB is away.

        `which`: the dead letters to list.
        """
        posted = await self._board.look()
        rows = await self._ledger(group)
        warehouse, files = await _warehouse(group)
        mongodb = await self._client.admin.command("buildInfo")
        logs = posted.logs if posted is not None and posted.fresh else ()
        system = await system_overview(self._client, self._settings, logs) if logs else None
        used = shutil.disk_usage(_existing(self._settings.data))
        return OperationsReport(
            system=system,
            ledger=rows,
            letters=await _letters(group, which),
            jobs=await self._jobs(),
            groups=await self._groups(logs),
            disk=Disk(used.used, used.total, sum(one.bytes_on_disk for one in logs if one), warehouse, files),
            versions={"piStats": version("pistats"), "MongoDB": str(mongodb["version"])},
            events_per_s=_events_per_s(rows, self._clock()),
        )

    async def _ledger(self, group: Database) -> list[LedgerRow]:
        now = self._clock()
        return await ledger_rows(group, now // MINUTE_MS * MINUTE_MS - LEDGER_MS, now + MINUTE_MS)

    async def _jobs(self) -> list[JobLine]:
        runs, now = Runs(self._system, self._clock), self._clock()
        lines = []
        for planned in plan(self._settings.jobs):
            last = next(iter(await runs.newest(planned.job, 1)), None)
            lines.append(JobLine(planned.job, last, planned.slot(now) + planned.period_ms))
        return lines

    async def _groups(self, logs: Logs) -> list[GroupLine]:
        groups = Groups(self._system, self._settings)
        return [await _group_line(group, groups.database(group.name), logs) for group in await groups.list()]


async def _group_line(group: Group, database: Database, logs: Logs) -> GroupLine:
    offsets = {one["_id"]: one["offset"] or 0 async for one in database["partitions"].find({}, {"offset": 1})}
    ends = {number: log.end_offset for number, log in enumerate(logs) if log is not None}
    waiting = sum(max(0, end - offsets.get(number, 0)) for number, end in ends.items())
    return GroupLine(group, await standing(database), waiting if len(ends) == len(logs) > 0 else None)


async def _letters(group: Database, which: Which) -> Letters:
    letters = DeadLetters(group)
    return Letters(which, await letters.newest(MAX_LETTERS, which), await letters.counts(), await redoing(group))


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there: another machine may hold the data."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())


async def _warehouse(group: Database) -> tuple[int, int]:
    """Bytes and number of the listed files."""
    sums = {"$group": {"_id": None, "bytes": {"$sum": "$bytes"}, "files": {"$sum": 1}}}
    found = await (await group["files"].aggregate([sums])).to_list()
    return (int(found[0]["bytes"]), int(found[0]["files"])) if found else (0, 0)


def _events_per_s(rows: Sequence[LedgerRow], now: int) -> dict[int, float]:
    minute = now // MINUTE_MS * MINUTE_MS - MINUTE_MS
    return {row.partition: row.appended / 60 for row in rows if row.minute == minute}

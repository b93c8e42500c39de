"""Runs jobs at their times: what is due is submitted once, what was missed is made up, what fails is repeated.

Everything that the schedule knows is in MongoDB, so that it goes on after any death, also between two of its steps:
`watermarks` has a document for each job, `{_id: job, done, run, run_slot, failures, not_before, version}`. `done`: the
slot up to which everything is done; `run`: the run under way. Times are Unix ms.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.errors import DuplicateKeyError

from pistats.clock import Clock, now_ms
from pistats.errors import PistatsError
from pistats.jobs.leader import LeaderLock
from pistats.jobs.plan import HOUR_MS, Due, Planned
from pistats.jobs.runs import JobRun, Runs
from pistats.jobs.submit import Launch, launch_once
from pistats.mongo.indexes import Database

RETRY_MS = 60_000
MAX_RETRY_MS = 3_600_000
"""A job that fails is repeated after one minute, then two, four …, at last every hour."""
REST = 4
"""A job rests four times as long as it ran, so that it never has more than a fifth of its cores."""
HOUSEKEEPING_MS = 60_000

Groups = Callable[[], Awaitable[Sequence[Database]]]
Failure = Callable[[str], Awaitable[str | None]]
"""Why a run's process ended without a word; None while it lives, and when nothing is known."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far one job is."""

    job: str
    done: int
    run: str | None = None
    run_slot: int = 0
    failures: int = 0
    """In a row."""
    not_before: int = 0
    version: int = 0


class Scheduler:
    """Call `tick` every few seconds. Several schedulers may: one leads, and no run is submitted twice by two."""

    def __init__(
        self,
        system: Database,
        groups: Groups,
        plan: Sequence[Planned],
        launch: Launch,
        failure: Failure,
        owner: str,
        clock: Clock = now_ms,
    ) -> None:
        self._system = system
        self._watermarks = system["watermarks"]
        self._runs = Runs(system, clock)
        self._leader = LeaderLock(system, owner, clock)
        self._groups = groups
        self._plan = plan
        self._launch = launch
        self._failure = failure
        self._clock = clock
        self._housekeeping_due = 0

    async def tick(self) -> None:
        """Look at every job once: settle the run that has ended, submit the one that is due."""
        if not await self._leader.held():
            return
        await self._keep_house()
        for planned in self._plan:
            watermark = await self._settle(await self._watermark(planned))
            if watermark.run is None and await self._is_due(planned, watermark):
                await self._submit(planned, watermark)

    async def _is_due(self, planned: Planned, watermark: Watermark) -> bool:
        now = self._clock()
        slot = planned.slot(now)
        if slot <= watermark.done or now < watermark.not_before:
            return False
        for group in await self._groups():
            if await planned.wanted(Due(self._system, group, watermark.done, slot)):
                return True
        if not planned.by_date:  # a date without files is still to be compared, once there are some
            await self._write(watermark, done=slot, failures=0)
        return False

    async def _submit(self, planned: Planned, watermark: Watermark) -> None:
        """Claimed, then handed to Ray, then noted: after a death in between, the next tick finds the claim."""
        slot = planned.slot(self._clock())
        run_id = planned.run_id(slot, watermark.failures + 1)
        try:
            await launch_once(self._runs, self._launch, run_id, planned.job, planned.arguments(watermark.done, slot))
        except PistatsError as error:
            log.warning("%s", error)  # it is recorded as failed, and settled as any other failure
        await self._write(watermark, run=run_id, run_slot=slot)

    async def _settle(self, watermark: Watermark) -> Watermark:
        """Take note of the end of the run under way."""
        run = None if watermark.run is None else await self._runs.find(watermark.run)
        if run is None:
            return watermark
        if not run.ended:
            reason = await self._failure(run.id)
            if reason is None:
                return watermark
            await self._runs.end(run.id, error=reason)
            run = await self._runs.find(run.id) or run
        if run.state == "succeeded":
            rested = _ended(run) + REST * (_ended(run) - (run.started_time or _ended(run)))
            return await self._write(
                watermark, done=max(watermark.done, watermark.run_slot), run=None, failures=0, not_before=rested
            )
        failures = watermark.failures + 1
        pause_ms = min(RETRY_MS << min(failures - 1, 10), MAX_RETRY_MS)
        log.warning(
            "%s failed, for the %d. time in a row; again in %d s: %s", run.id, failures, pause_ms // 1000, run.error
        )
        return await self._write(watermark, run=None, failures=failures, not_before=_ended(run) + pause_ms)

    async def _keep_house(self) -> None:
        now = self._clock()
        if now >= self._housekeeping_due:
            self._housekeeping_due = now + HOUSEKEEPING_MS
            await self._runs.give_up_silent()
            await self._runs.forget_old()

    async def _watermark(self, planned: Planned) -> Watermark:
        """As it is stored. A job that runs seldom waits for its next time."""
        found = await self._watermarks.find_one({"_id": planned.job})
        if found is not None:
            return _watermark(found)
        first = Watermark(
            planned.job, planned.slot(self._clock()) - (0 if planned.period_ms >= HOUR_MS else planned.period_ms)
        )
        try:
            await self._watermarks.insert_one(_document(first))
        except DuplicateKeyError:
            return await self._watermark(planned)
        return first

    async def _write(self, before: Watermark, **changes: Any) -> Watermark:
        """`before` with the changes, stored; what is stored, if another scheduler was faster."""
        after = Watermark(**{**_fields(before), **changes, "version": before.version + 1})
        result = await self._watermarks.replace_one({"_id": before.job, "version": before.version}, _document(after))
        if result.matched_count:
            return after
        found = await self._watermarks.find_one({"_id": before.job})
        return after if found is None else _watermark(found)


def _ended(run: JobRun) -> int:
    return run.ended_time or run.updated_time


def _fields(watermark: Watermark) -> dict[str, Any]:
    return {name: getattr(watermark, name) for name in Watermark.__slots__}


def _document(watermark: Watermark) -> dict[str, Any]:
    fields = _fields(watermark)
    return {"_id": fields.pop("job"), **fields}


def _watermark(document: dict[str, Any]) -> Watermark:
    return Watermark(job=document["_id"], **{name: document[name] for name in document if name != "_id"})

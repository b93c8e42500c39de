"""The record of every run of a job: `job_runs` in the system database.

`{_id: submission id, job, group, arguments: [words], state, created_time, started_time, updated_time, ended_time,
progress: {step, done, total}, result, error}`. Times are Unix ms. Inserting the document is what gives the right to
submit a run: of several that want to, one succeeds.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from pistats.clock import Clock, now_ms
from pistats.jobs.arguments import JobArguments
from pistats.mongo.client import Document
from pistats.mongo.indexes import Database

RUNS = "job_runs"

State = Literal["pending", "running", "succeeded", "failed"]

ENDED: tuple[State, ...] = ("succeeded", "failed")
SILENT_MS = 120_000
"""A running job says every few seconds that it lives. After two minutes of silence its process is gone."""
PENDING_PATIENCE = 5
"""Times as long: on a busy machine a job waits for its turn, and for two processes to start."""
KEEP_S = 30 * 86_400
"""How long runs stay listed. At one archive run every five minutes, a month is nine thousand small documents."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job, as it is recorded."""

    id: str
    job: str
    group: str | None
    arguments: tuple[str, ...]
    state: State
    created_time: int
    started_time: int | None
    updated_time: int
    ended_time: int | None
    progress: Mapping[str, Any]
    """`step`: what it is doing; `done` and `total` (None: not known): how far it is."""
    result: Mapping[str, Any] | None
    error: str | None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class Runs:
    """Records runs, and reads them. Every call may be repeated."""

    def __init__(self, system: Database, clock: Clock = now_ms) -> None:
        self._runs = system[RUNS]
        self._clock = clock

    async def claim(self, run_id: str, job: str, arguments: JobArguments) -> bool:
        """Whether this caller is the one to submit the run: only the first that asks gets True."""
        now = self._clock()
        try:
            await self._runs.insert_one(
                {
                    "_id": run_id,
                    "job": job,
                    "group": arguments.group,
                    "arguments": arguments.words(),
                    "state": "pending",
                    "created_time": now,
                    "updated_time": now,
                    "progress": {},
                }
            )
        except DuplicateKeyError:
            return False
        return True

    async def start(self, run_id: str, job: str, arguments: JobArguments) -> JobRun:
        """The run has begun, whoever submitted it. A run that was killed begins again under its name."""
        now = self._clock()
        document = await self._runs.find_one_and_update(
            {"_id": run_id},
            {
                "$set": {
                    "job": job,
                    "group": arguments.group,
                    "arguments": arguments.words(),
                    "state": "running",
                    "started_time": now,
                    "updated_time": now,
                    "progress": {},
                },
                "$setOnInsert": {"created_time": now},
                "$unset": {"ended_time": "", "result": "", "error": ""},
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert document is not None
        return _run(document)

    async def end(self, run_id: str, *, result: Mapping[str, Any] | None = None, error: str | None = None) -> None:
        """The run has succeeded with `result`, or failed because of `error`. The first word about it counts."""
        now = self._clock()
        outcome = {"state": "failed", "error": error} if error is not None else {"state": "succeeded", "result": result}
        await self._runs.update_one(
            {"_id": run_id, "state": {"$nin": list(ENDED)}},
            {"$set": {**outcome, "ended_time": now, "updated_time": now}},
        )

    async def find(self, run_id: str) -> JobRun | None:
        """The run of that name."""
        document = await self._runs.find_one({"_id": run_id})
        return None if document is None else _run(document)

    async def last_numbered(self, prefix: str) -> JobRun | None:
        """Of the runs called `PREFIX-NUMBER`, the one with the highest number."""
        found = self._runs.find({"_id": {"$regex": f"^{re.escape(prefix)}-[0-9]+$"}})
        runs = [_run(document) async for document in found]
        return max(runs, key=lambda run: int(run.id.rsplit("-", 1)[1]), default=None)

    async def newest(self, job: str | None = None, limit: int = 50) -> list[JobRun]:
        """The last runs, newest first; of one job, if that is given."""
        found = self._runs.find({} if job is None else {"job": job}).sort([("created_time", -1)]).limit(limit)
        return [_run(document) async for document in found]

    async def unfinished(self, job: str | None = None) -> list[JobRun]:
        """The runs that are pending or running, oldest first."""
        query: Document = {"state": {"$in": ["pending", "running"]}}
        found = self._runs.find(query if job is None else {**query, "job": job}).sort([("created_time", 1)])
        return [_run(document) async for document in found]

    async def forget_old(self, keep_s: int = KEEP_S) -> None:
        """Remove the records of runs that ended longer ago than that."""
        await self._runs.delete_many({"ended_time": {"$lt": self._clock() - keep_s * 1000}})

    async def give_up_silent(self, silent_ms: int = SILENT_MS) -> list[str]:
        """Record as failed what has not been heard of for `silent_ms`: its process was killed. Their ids."""
        given_up = []
        for run in await self.unfinished():
            patience_ms = silent_ms * (PENDING_PATIENCE if run.state == "pending" else 1)
            if run.updated_time < self._clock() - patience_ms:
                await self.end(run.id, error=f"Nothing was heard of it for {patience_ms // 1000} s: it was killed.")
                given_up.append(run.id)
        return given_up


def result_lines(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What a run gave, for people: each group's numbers in a line, then every text that it lists in one of its own."""
    for group, result in results.items():
        lists = {name: value for name, value in result.items() if _is_texts(value)}
        yield f"{group}: {json.dumps({name: result[name] for name in result if name not in lists}, default=str)}"
        for texts in lists.values():
            yield from texts


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _run(document: Document) -> JobRun:
    return JobRun(
        id=document["_id"],
        job=document["job"],
        group=document.get("group"),
        arguments=tuple(document.get("arguments") or ()),
        state=document["state"],
        created_time=document["created_time"],
        started_time=document.get("started_time"),
        updated_time=document["updated_time"],
        ended_time=document.get("ended_time"),
        progress=document.get("progress") or {},
        result=document.get("result"),
        error=document.get("error"),
    )

"""Keeps the live numbers in memory equal to what the consumers commit, through one MongoDB change stream."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from pymongo.asynchronous.change_stream import AsyncDatabaseChangeStream
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

log = logging.getLogger(__name__)

COLLECTIONS = ("minutes", "feed", "partitions")

PIPELINE = [
    {
        "$match": {
            "ns.coll": {"$in": list(COLLECTIONS)},
            "operationType": {"$in": ["insert", "replace", "update", "drop", "dropDatabase"]},
        }
    }
]
"""Deletes are old minutes that MongoDB lets expire: the view forgets those by itself."""

HEARTBEAT_MS = 1_000
"""How long MongoDB may hold an empty answer. Each answer proves that the stream is alive."""

SILENCE_MS = 3_000
"""Three missed heartbeats: readers are told that the numbers have stopped."""

DISTANT_MS = 30 * 60_000
"""The view asks for two hours of a week ago, this one and the next: half an hour keeps well ahead."""

RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between attempts after errors. mongod is back after about a second; the last one repeats."""


class View(Protocol):
    """What committed documents are given to; the latest one of an id wins."""

    def apply(self, kind: str, document: dict[str, Any], /) -> object: ...

    def reads(self, now_ms: int, /) -> Sequence[tuple[int, int]]:
        """Ranges of `_id.minute` worth reading, both ends included: the recent past first, then the more distant."""
        ...


V = TypeVar("V", bound=View)


class LiveSource(Generic[V]):
    """Owns the change stream. After any error it reads everything again, so nothing missed stays missed.

    A reload reads the minutes that the view asks for, and all of the rest; the distant past again every half hour.
    `changed` is called after every change of `view`, which is replaced as a whole on every reload.
    """

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        new_view: Callable[[], V],
        clock: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._changed = changed
        self._heard_ms = 0
        self._failures = 0
        self._new_view = new_view
        self._distant_ms = 0
        self.view = new_view()

    @property
    def connected(self) -> bool:
        """True while MongoDB answers: what `view` holds is what is committed."""
        return self._clock() - self._heard_ms < SILENCE_MS

    async def run(self) -> None:
        """Follows until cancelled."""
        while not _cancelled():
            try:
                await self._follow()
            except Exception as error:
                if _cancelled():
                    break  # the driver has made an error of its own out of it
                # Of whatever kind: without this task the page would stand still until the next start.
                if self._failures == 0:
                    unexpected = None if isinstance(error, PyMongoError) else error
                    name = self._database.name
                    log.warning("The change stream of %s broke, reading again: %s", name, error, exc_info=unexpected)
                await asyncio.sleep(RETRY_S[min(self._failures, len(RETRY_S) - 1)])
                self._failures += 1
        raise asyncio.CancelledError

    async def _follow(self) -> None:
        """Reads everything, then applies changes. The stream opens before the reading, so no change falls between."""
        async with await self._open() as stream:
            view = await self._load()
            self.view = view
            self._failures = 0
            self._heard()
            self._changed()
            while stream.alive and not _cancelled():
                change = await stream.try_next()
                self._heard()
                if change is None:
                    await self._read_distant(view)
                    continue
                if change["operationType"] in ("drop", "dropDatabase"):
                    return
                self._apply(view, change)

    async def _open(self) -> AsyncDatabaseChangeStream[dict[str, Any]]:
        return await self._database.watch(PIPELINE, full_document="updateLookup", max_await_time_ms=HEARTBEAT_MS)

    async def _load(self) -> V:
        view = self._new_view()
        for kind in ("feed", "partitions"):
            async for document in self._database[kind].find():
                view.apply(kind, document)
        await self._read(view, view.reads(self._clock()))
        return view

    async def _read(self, view: V, ranges: Iterable[tuple[int, int]]) -> None:
        for first, last in ranges:
            async for document in self._database["minutes"].find({"_id.minute": {"$gte": first, "$lte": last}}):
                view.apply("minutes", document)
        self._distant_ms = self._clock()

    async def _read_distant(self, view: V) -> None:
        now = self._clock()
        if now - self._distant_ms >= DISTANT_MS:
            await self._read(view, view.reads(now)[1:])

    def _apply(self, view: V, change: dict[str, Any]) -> None:
        document = change.get("fullDocument")
        if document is not None:  # None: updated, then deleted before MongoDB looked it up
            view.apply(change["ns"]["coll"], document)
            self._changed()

    def _heard(self) -> None:
        self._heard_ms = self._clock()


def _cancelled() -> bool:
    """Whether this task was asked to end. PyMongo can swallow that, when it comes while a connection is closed."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

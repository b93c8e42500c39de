"""Shares a group's partitions fairly between its members, which know of each other only through MongoDB.

Every member beats in `members` by the server's clock, takes free partitions up to its share and hands over what is
above it. A dead member's beat and leases run out together; the others then take its partitions.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from pistats.consumer.lease import LeaseStore
from pistats.consumer.worker import PartitionConsumer, WorkerStatus

log = logging.getLogger(__name__)

BEAT_S = 2.0
"""Between two looks at the members. With a lease of 10 s, a dead member's partitions move within 14 s."""

MAX_ERROR_CHARS = 500
"""Of an error in a member's document: an exception may quote a whole event."""

MakeWorker = Callable[[int, str], PartitionConsumer]
"""(partition, owner): a consumer that is not yet running."""


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One member of a group: its name, the live members it sees, and what it consumes."""

    name: str
    members: tuple[str, ...]
    workers: tuple[WorkerStatus, ...]
    last_error: str | None


@dataclass(frozen=True, slots=True)
class _Running:
    worker: PartitionConsumer
    task: asyncio.Task[None]


def fair_share(name: str, members: list[str], partitions: int) -> int:
    """How many partitions `name` should hold. All shares add up; no two differ by more than 1."""
    each, left = divmod(partitions, len(members))
    return each + (1 if members.index(name) < left else 0)


class GroupMember:
    """One member of a consumer group. `name` is unique among the living, and the same after a restart: a member that
    comes back under its name has its partitions again at once, and whatever is left of its earlier life is fenced.
    """

    def __init__(
        self,
        name: str,
        partitions: Callable[[], int],
        *,
        database: AsyncDatabase[dict[str, Any]],
        lease_s: float,
        make: MakeWorker,
        life: str,
    ) -> None:
        """`partitions`: how many there are to share, asked at every beat. `life`: of this process."""
        self._name = name
        self._partitions = partitions
        self._members = database["members"]
        self._leases = LeaseStore(database, lease_s)
        self._lease_s = lease_s
        self._make = make
        self._life = life
        self._running: dict[int, _Running] = {}
        self._live: tuple[str, ...] = ()
        self._stopping = asyncio.Event()
        self._last_error: str | None = None

    @property
    def status(self) -> MemberStatus:
        workers = tuple(self._running[partition].worker.status for partition in sorted(self._running))
        return MemberStatus(self._name, self._live, workers, self._last_error)

    def stop(self) -> None:
        """Ask it to commit, hand over everything and return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Take part in the group until `stop`. Survives a MongoDB that is away."""
        try:
            while not self._stopping.is_set():
                try:
                    await self._beat()
                    self._last_error = None
                except Exception as error:
                    log.warning("consumer %s: %s", self._name, error)
                    self._last_error = f"{type(error).__name__}: {error}"
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await self._stopping.wait()
            await self._leave()
        finally:
            for running in self._running.values():
                running.task.cancel()

    async def _beat(self) -> None:
        """One look: be alive, see who else is, and move towards the fair share."""
        await self._register()
        self._running = {partition: one for partition, one in self._running.items() if not one.task.done()}
        share = fair_share(self._name, list(self._live), self._partitions())
        if len(self._running) > share:
            self._hand_over(len(self._running) - share)
        elif len(self._running) < share:
            await self._take(share - len(self._running))

    async def _register(self) -> None:
        await self._members.update_one(
            {"_id": self._name},
            [
                {
                    "$set": {
                        "expires_at": self._leases.expiry,
                        "life": self._life,
                        "partitions": sorted(self._running),
                        "errors": {"$literal": self._errors()},
                    }
                }
            ],
            upsert=True,
        )
        alive = self._members.find({"$expr": {"$gt": ["$expires_at", "$$NOW"]}}, {"_id": 1})
        self._live = tuple(sorted([document["_id"] async for document in alive]))

    def _errors(self) -> dict[str, str]:
        """What stops each of its partitions now, for `pistats status`."""
        found = {partition: running.worker.status.last_error for partition, running in self._running.items()}
        return {str(partition): error[:MAX_ERROR_CHARS] for partition, error in found.items() if error is not None}

    async def _take(self, most: int) -> None:
        """Start consuming up to `most` partitions: those of an earlier life of this name first, then free ones."""
        partitions = self._partitions()
        for partition in range(partitions):
            await self._leases.declare(partition)
        candidates = [*await self._leases.held_by(self._name), *await self._leases.free()]
        wanted = [one for one in dict.fromkeys(candidates) if one < partitions and one not in self._running]
        for partition in wanted[:most]:
            worker = self._make(partition, self._name)
            task = asyncio.create_task(worker.run(), name=f"{self._name} partition {partition}")
            self._running[partition] = _Running(worker, task)

    def _hand_over(self, count: int) -> None:
        """Have `count` partitions let go after their next commit, so that the next owner starts where they ended.

        The same ones when it is repeated before they have.
        """
        for partition in sorted(self._running, reverse=True)[:count]:
            self._running[partition].worker.stop()

    async def _leave(self) -> None:
        """Hand over everything and sign off; what can't finish within a lease is left to run out."""
        self._hand_over(len(self._running))
        if self._running:
            await asyncio.wait([one.task for one in self._running.values()], timeout=self._lease_s)
        with contextlib.suppress(PyMongoError):
            await self._members.delete_one({"_id": self._name})

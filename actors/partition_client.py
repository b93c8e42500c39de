"""A stream partition as its callers see it, wherever its actor runs and however often it restarts."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from actors.names import NAMESPACE, partition_name
from pistats.errors import PistatsError, UnavailableError
from pistats.stream.batch import Appended, Batch, Fetched
from pistats.stream.log import Trimmed
from pistats.stream.partition import PartitionStatus

CALL_TIMEOUT_S = 10.0
"""An append takes milliseconds: whoever says nothing for ten seconds hangs."""

T = TypeVar("T")


class PartitionClient:
    """Calls one partition. No call is repeated here: the caller retries, with the same batch id."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self._handle: Any = None

    async def append(self, batch: Batch) -> Appended:
        """Durable when it returns. Raises UnavailableError when the outcome is unknown: repeat the same batch."""
        return await self._answer("append", (await self._actor()).append.remote(batch), CALL_TIMEOUT_S)

    async def fetch(self, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        """Frames from `offset` on, after at most `wait_s`."""
        call = (await self._actor()).fetch.remote(offset, max_bytes, wait_s)
        return await self._answer("fetch", call, wait_s + CALL_TIMEOUT_S)

    async def status(self) -> PartitionStatus:
        """Offsets, counts and health of the partition."""
        return await self._answer("status", (await self._actor()).status.remote(), CALL_TIMEOUT_S)

    async def trim(self, floor_offset: int, *, force: bool = False) -> Trimmed:
        """Remove what the retention lets go below `floor_offset`, or beyond it if forced. May be repeated."""
        return await self._answer("trim", (await self._actor()).trim.remote(floor_offset, force), CALL_TIMEOUT_S)

    async def seal(self, layout: int) -> int:
        """Store nothing of an earlier layout any more; the end of the log then. May be repeated."""
        return await self._answer("seal", (await self._actor()).seal.remote(layout), CALL_TIMEOUT_S)

    async def resolve(self, position: str) -> int:
        """The offset that a position names now. Raises PositionError."""
        return await self._answer("resolve", (await self._actor()).resolve.remote(position), CALL_TIMEOUT_S)

    async def _actor(self) -> Any:
        if self._handle is None:
            name = partition_name(self.partition)
            try:
                # In a thread: it asks the cluster, and nobody else should wait while that is away.
                self._handle = await asyncio.to_thread(ray.get_actor, name, namespace=NAMESPACE)
            except ValueError as error:
                raise self._unavailable("is not there yet") from error
        return self._handle

    async def _answer(self, call: str, reference: Awaitable[T], timeout_s: float) -> T:
        try:
            async with asyncio.timeout(timeout_s):  # `wait_for` loses a Ctrl-C that comes together with the answer
                return await asyncio.wrap_future(reference.future())  # type: ignore[attr-defined]
        except RayTaskError as error:
            if isinstance(error.cause, PistatsError):
                raise error.cause from None
            raise
        except (RayActorError, GetTimeoutError, TimeoutError, RayError) as error:
            self._handle = None  # a new actor may have taken the name
            raise self._unavailable(f"gave no answer to {call}: {type(error).__name__}") from error

    def _unavailable(self, what: str) -> UnavailableError:
        return UnavailableError(f"Partition {self.partition} {what}. It restarts by itself within seconds.")

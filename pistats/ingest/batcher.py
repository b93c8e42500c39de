"""Many requests, one append: a batch forms by itself while the one before it is under way.

One append per partition is in flight, so a visitor's events stay in order across retries, and nobody waits for a timer.
"""

import asyncio
import logging
import os
from bisect import bisect_right
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate

from pistats.errors import FencedError, OverloadedError, PistatsError, RetryableError, UnavailableError
from pistats.ingest.retry import RetryPolicy
from pistats.settings import IngestSettings
from pistats.stream.batch import BATCH_ID_BYTES, Appended, Batch

log = logging.getLogger(__name__)

Append = Callable[[Batch], Awaitable[Appended]]

MIN_ATTEMPT_S = 1.0
"""A batch whose deadline is near still gets one honest attempt."""


class MovedError(RetryableError):
    """The partition no longer stores some of these records: they belong where a newer topology says."""

    def __init__(self, duplicates: Sequence[int], moved: Sequence[int]) -> None:
        super().__init__("The number of partitions has changed. Send the events again.")
        self.duplicates = duplicates
        """Indexes into the submission of what had been stored before."""
        self.moved = moved
        """Indexes of what is not stored. Everything else is, by this very submission."""


class Submission:
    """Records of one request for one partition. `stored` gives the indexes of those that had been stored before."""

    __slots__ = ("deadline", "keys", "payloads", "size_bytes", "stored")

    def __init__(
        self, keys: list[bytes], payloads: list[bytes], deadline: float, stored: asyncio.Future[Sequence[int]]
    ) -> None:
        self.keys = keys
        self.payloads = payloads
        self.deadline = deadline
        self.stored = stored
        self.size_bytes = size_bytes(payloads)


def size_bytes(payloads: list[bytes]) -> int:
    """What records weigh against the bound on waiting bytes."""
    return sum(map(len, payloads))


class MicroBatcher:
    """Appends to one partition: durable, in order, bounded, and deaf to clients that hang up.

    `append` is called with one batch at a time. On RetryableError, and on FencedError (a new owner is about
    to answer), the same batch with the same id is appended again, until the oldest of its submissions has waited
    `append_timeout_s`; then all of them fail with UnavailableError. Whether a batch that failed so was stored is not
    known: event ids make a repetition harmless.

    All batches are of one layout. Once that is over, submissions with records that the partition doesn't have fail with
    MovedError.
    """

    def __init__(
        self,
        partition: int,
        append: Append,
        settings: IngestSettings,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008  # frozen
        new_batch_id: Callable[[], bytes] = lambda: os.urandom(BATCH_ID_BYTES),
        layout: int = 0,
    ) -> None:
        self.partition = partition
        self.pending_bytes = 0
        self._append = append
        self._settings = settings
        self._retry = retry
        self._new_batch_id = new_batch_id
        self._layout = layout
        self._queue: deque[Submission] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._append_since: float | None = None

    def check_room(self, wanted_bytes: int) -> None:
        """Raise OverloadedError when `wanted_bytes` more cannot wait here.

        To submit to several partitions or to none, check all and submit to all without an await in between.
        """
        if self.pending_bytes and self.pending_bytes + wanted_bytes > self._settings.max_pending_bytes:
            raise OverloadedError(
                f"{self.pending_bytes} bytes are waiting to be stored in partition {self.partition}: send again later."
            )
        if self._append_since is not None:
            waited_s = asyncio.get_running_loop().time() - self._append_since
            if waited_s > self._settings.max_wait_s:
                raise OverloadedError(
                    f"Partition {self.partition} has been busy with one write for {waited_s:.0f} s: send again later."
                )

    def submit(
        self, keys: list[bytes], payloads: list[bytes], deadline: float | None = None
    ) -> asyncio.Future[Sequence[int]]:
        """Queue records; the future ends when they are durable, with the indexes of duplicates among them.

        `deadline`: by the event loop's clock; None: `append_timeout_s` from now. Raises OverloadedError, with nothing
        queued. Cancelling the future does not stop the append.
        """
        self.check_room(size_bytes(payloads))
        loop = asyncio.get_running_loop()
        if deadline is None:
            deadline = loop.time() + self._settings.append_timeout_s
        submission = Submission(keys, payloads, deadline, loop.create_future())
        self.pending_bytes += submission.size_bytes
        self._queue.append(submission)
        if self._writer is None:
            self._writer = loop.create_task(self._write_all())
        return submission.stored

    async def close(self) -> None:
        """Wait until all that was queued is stored or has failed: `append_timeout_s` at most."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write_all(self) -> None:
        try:
            while submissions := self._take():
                await self._write(submissions)
        finally:
            self._writer = None
            if self._queue:  # only when the event loop is being torn down
                self._fail(list(self._queue), UnavailableError("This server is stopping: send again."))
                self._queue.clear()

    async def _write(self, submissions: list[Submission]) -> None:
        keys = [key for submission in submissions for key in submission.keys]
        payloads = [payload for submission in submissions for payload in submission.payloads]
        batch = Batch(self._new_batch_id(), keys, payloads, self._layout)
        self._append_since = asyncio.get_running_loop().time()
        try:
            appended = await self._append_until(batch, submissions[0].deadline)
        except BaseException as error:
            self._append_since = None
            cancelled = isinstance(error, asyncio.CancelledError)
            if not isinstance(error, PistatsError) and not cancelled:
                log.error("partition %d: an append failed in a way that it shouldn't", self.partition, exc_info=error)
            self._fail(submissions, UnavailableError("This server is stopping: send again.") if cancelled else error)
            if not isinstance(error, Exception):
                raise
        else:
            self._append_since = None
            if appended.moved:
                self._turn_away(submissions, appended)
            else:
                self._succeed(submissions, appended.duplicates)

    async def _append_until(self, batch: Batch, deadline: float) -> Appended:
        loop = asyncio.get_running_loop()
        in_doubt = False
        for wait_s in self._retry.waits_s():
            try:
                async with asyncio.timeout_at(max(deadline, loop.time() + MIN_ATTEMPT_S)):
                    return await self._append(batch)
            except (RetryableError, FencedError, TimeoutError) as error:
                if isinstance(error, OverloadedError) and not in_doubt:
                    # A full disk or queue stays full for longer than a client should hang: let it come back.
                    log.warning("partition %d refused a batch of %d: %s", self.partition, len(batch.keys), error)
                    raise UnavailableError(
                        f"Partition {self.partition} has no room now. Nothing was stored: send the events again.",
                        retry_after_s=error.retry_after_s,
                    ) from error
                # An earlier attempt may have been stored: only the same batch, again, finds out.
                in_doubt = in_doubt or not isinstance(error, OverloadedError)
                if loop.time() + wait_s >= deadline:
                    log.warning("partition %d: gave up a batch of %d: %s", self.partition, len(batch.keys), error)
                    raise UnavailableError(
                        f"Partition {self.partition} could not store the events within "
                        f"{self._settings.append_timeout_s:g} s. Send them again, under the same event ids."
                    ) from error
            await asyncio.sleep(wait_s)
        raise AssertionError("waits are endless")

    def _take(self) -> list[Submission]:
        """The oldest submissions, up to `batch_bytes`. Those that waited too long fail: they were never appended."""
        now = asyncio.get_running_loop().time()
        taken: list[Submission] = []
        room = self._settings.batch_bytes
        while self._queue and (not taken or self._queue[0].size_bytes <= room):
            submission = self._queue.popleft()
            if submission.deadline <= now:
                late = f"Partition {self.partition} did not get to these events in time. Nothing was stored."
                self._fail([submission], UnavailableError(late))
                continue
            room -= submission.size_bytes
            taken.append(submission)
        return taken

    def _succeed(self, submissions: list[Submission], duplicates: Sequence[int]) -> None:
        found: list[Sequence[int]] = [()] * len(submissions)
        if duplicates:
            found = _by_submission(submissions, duplicates)
        for submission, indexes in zip(submissions, found, strict=True):
            self.pending_bytes -= submission.size_bytes
            if not submission.stored.done():
                submission.stored.set_result(indexes)

    def _turn_away(self, submissions: list[Submission], appended: Appended) -> None:
        duplicates = _by_submission(submissions, appended.duplicates)
        moved = _by_submission(submissions, appended.moved)
        for submission, known, elsewhere in zip(submissions, duplicates, moved, strict=True):
            if elsewhere:
                self._fail([submission], MovedError(known, elsewhere))
            else:
                self._succeed([submission], known)

    def _fail(self, submissions: list[Submission], error: BaseException) -> None:
        for submission in submissions:
            self.pending_bytes -= submission.size_bytes
            if not submission.stored.done():
                submission.stored.set_exception(error)
                submission.stored.exception()  # marks it as seen: its request may be gone


def _by_submission(submissions: list[Submission], duplicates: Sequence[int]) -> list[Sequence[int]]:
    """Indexes into the batch, as indexes into each submission."""
    starts = list(accumulate((len(submission.keys) for submission in submissions), initial=0))
    found: list[list[int]] = [[] for _ in submissions]
    for index in duplicates:
        at = bisect_right(starts, index) - 1
        found[at].append(index - starts[at])
    return list(found)

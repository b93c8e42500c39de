"""One stream partition as its callers see it: many appends at a time, one writer, long-polling readers."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from pistats.clock import Clock, now_ms
from pistats.errors import CorruptionError, FencedError, OverloadedError
from pistats.settings import StreamSettings
from pistats.stream.batch import Appended, Batch, Fetched
from pistats.stream.log import LogStats, LogStoppedError, StreamLog, Trimmed
from pistats.stream.position import parse_position, resolve_position

_log = logging.getLogger(__name__)

T = TypeVar("T")

READ_THREADS = 2
"""Reads come from the page cache: more threads than cores only queue for the interpreter."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """A partition in numbers, for people and for the supervisor."""

    partition: int
    state: Literal["open", "stopped", "closed"]
    stopped_reason: str | None
    log: Literal["file", "mongo"]
    epoch: int
    first_offset: int
    end_offset: int
    appended: int
    """Records stored since this writer opened the log."""
    duplicates: int
    conflicting_duplicates: int
    """Both since the start of the log, as of its last frame."""
    pending_bytes: int
    """Bytes queued or being written: not acknowledged yet."""
    segments: int
    bytes_on_disk: int
    oldest_append_time: int | None
    last_append_time: int | None
    dedupe_ids: int
    dedupe_bytes: int
    indexes_rebuilt: int
    refusing: str | None
    """Why an append of something new would be refused now; None: it would be stored."""
    cut_bytes: int
    held_back_segments: int
    """Segments past their retention that a consumer still needs, as of the last trim."""
    started_time: int
    layout: int = 0
    """Topology epoch that it keeps to: it stores nothing of an earlier one."""


@dataclass(slots=True)
class _Waiting:
    batch: Batch
    size_bytes: int
    answer: "asyncio.Future[Appended]"


class StreamPartition:
    """Answers an append when its batch is durable. Needs a running event loop from the first call on.

    After an error that leaves the log in doubt, every call fails with LogStoppedError and `stopped` is set: the owner
    ends the process and opens the log again.
    """

    def __init__(
        self, partition: int, log: StreamLog, settings: StreamSettings, clock: Clock = now_ms, layout: int = 0
    ) -> None:
        """`layout`: the topology epoch to keep to, read after `log` was opened: then no seal is missed."""
        self._layout = layout
        self._partition, self._log, self._settings, self._clock = partition, log, settings, clock
        self._queue: deque[_Waiting] = deque()
        self._pending_bytes = 0
        self._queued = self._written = 0
        """Batches ever queued, and those of them that are stored or refused."""
        self._work = asyncio.Event()
        self._grown = asyncio.Event()
        """Set and replaced at every growth: whoever waits at the end of the log holds the one of that moment."""
        self._writer: asyncio.Task[None] | None = None
        self._write_thread = ThreadPoolExecutor(1, f"append-{partition}")
        self._read_threads = ThreadPoolExecutor(READ_THREADS, f"fetch-{partition}")
        self._closed = False
        self._held_back_segments = 0
        self._first_end_offset = log.end_offset
        self._started_time = clock()
        self._reason: str | None = None
        self.stopped = asyncio.Event()
        """Set when this writer can go on no longer: fenced, or the disk failed."""

    # --- appending

    async def append(self, batch: Batch) -> Appended:
        """Durable on return. May be repeated with the same batch id: the answer is the same, nothing is stored twice.

        Of a batch whose layout is over nothing is stored; the answer says which records are not (`moved`). Raises
        OverloadedError (queue or disk full; nothing was stored) and LogStoppedError (ask the new writer).
        """
        self._check_open()
        if batch.layout != self._layout:
            if batch.layout < self._layout:
                return (await self._look_up([batch]))[0]
            self._layout = batch.layout  # published, so every partition was sealed for it
        size = batch.size_bytes
        if self._pending_bytes + size > self._settings.max_pending_bytes and self._pending_bytes:
            raise OverloadedError(
                f"partition {self._partition} has {self._pending_bytes} bytes waiting for the disk, the bound is "
                f"{self._settings.max_pending_bytes}: nothing was stored, try again"
            )
        waiting = _Waiting(batch, size, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._queued += 1
        self._pending_bytes += size
        self._work.set()
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name=f"writer-{self._partition}")
        return await waiting.answer

    async def _write(self) -> None:
        """The one writer: everything that waits becomes one group, while it is written the next one gathers."""
        loop = asyncio.get_running_loop()
        while not (self._closed and not self._queue):
            self._work.clear()
            if not self._queue:
                await self._work.wait()
                continue
            group = self._next_group()
            try:
                answers = await loop.run_in_executor(
                    self._write_thread, self._log.append, [waiting.batch for waiting in group]
                )
            except Exception as error:
                self._refuse(group, error)
            else:
                for waiting, answer in zip(group, answers, strict=True):
                    if not waiting.answer.done():  # a caller that gave up is not told, its batch is stored
                        waiting.answer.set_result(answer)
            finally:
                self._pending_bytes -= sum(waiting.size_bytes for waiting in group)
                self._written += len(group)
            self._grown.set()
            self._grown = asyncio.Event()

    def _next_group(self) -> list[_Waiting]:
        group = [self._queue.popleft()]
        size = group[0].size_bytes
        while self._queue and size + self._queue[0].size_bytes <= self._settings.max_frame_bytes:
            size += self._queue[0].size_bytes
            group.append(self._queue.popleft())
        return group

    def _refuse(self, group: list[_Waiting], error: Exception) -> None:
        """Tell the callers. Anything but a full disk leaves the log in doubt, and ends this writer."""
        if not isinstance(error, OverloadedError):
            self._stop(error)
            error = self._stopped_error()
            group = [*group, *self._queue]
            self._pending_bytes -= sum(waiting.size_bytes for waiting in self._queue)
            self._queue.clear()
        for waiting in group:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

    def _stop(self, error: Exception) -> None:
        if not isinstance(error, LogStoppedError | FencedError | CorruptionError):
            _log.error("partition %d stops at an unexpected error", self._partition, exc_info=error)
        self._reason = self._reason or str(error)
        self.stopped.set()
        self._grown.set()

    # --- a change of the number of partitions

    async def seal(self, layout: int) -> int:
        """Store no batch of an earlier layout any more. The end of the log, which stays until the layout is in force.

        What was queued is written first. May be repeated. Raises LogStoppedError: ask the new writer.
        """
        self._check_open()
        self._layout = max(self._layout, layout)
        await self._look_up([])
        return self._log.end_offset

    async def _look_up(self, batches: list[Batch]) -> list[Appended]:
        """What is stored of the batches, once everything that was queued before is."""
        queued = self._queued
        while self._written < queued:
            await self._grown.wait()
            self._check_open()
        return await self._run_alone(lambda: self._log.look_up(batches))

    async def _run_alone(self, work: Callable[[], T]) -> T:
        """Do something to the log between two appends."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._write_thread, work)
        except (FencedError, LogStoppedError, CorruptionError) as error:
            self._stop(error)
            raise self._stopped_error() from error

    # --- reading

    async def fetch(self, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        """Frames from `offset` on; at the end of the log waits up to `wait_s` for one, then answers without.

        Raises TrimmedPositionError or BeyondEndError outside the log.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while offset == self._log.end_offset and (remaining := deadline - loop.time()) > 0:
            grown = self._grown
            try:
                async with asyncio.timeout(remaining):
                    await grown.wait()
            except TimeoutError:
                break
            self._check_open()
        fetched = await loop.run_in_executor(self._read_threads, self._log.read, offset, max_bytes)
        # Asked after the read, as it only rises: what was read is of this layout at most.
        return replace(fetched, layout=self._layout) if self._layout else fetched

    async def resolve(self, position: str) -> int:
        """The offset that a position (`trim-horizon`, `latest`, `offset:N`, `after:N`, `time:ISO`) stands for.

        Raises MalformedPositionError, TrimmedPositionError, BeyondEndError or FutureTimeError, naming what is valid.
        """
        parsed = parse_position(position)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._read_threads, resolve_position, parsed, self._log, self._clock())

    # --- administration

    async def trim(self, floor_offset: int, *, force: bool = False) -> Trimmed:
        """Remove what the retention lets go, below `floor_offset` (the slowest checkpoint) unless forced."""
        self._check_open()
        trimmed = await self._run_alone(lambda: self._log.trim(floor_offset, force=force))
        self._held_back_segments = trimmed.held_back_segments
        return trimmed

    def status(self) -> PartitionStatus:
        """The partition in numbers; cheap enough to be asked every second."""
        stats: LogStats = self._log.stats()
        return PartitionStatus(
            partition=self._partition,
            state="stopped" if self.stopped.is_set() else "closed" if self._closed else "open",
            stopped_reason=self._reason,
            log=self._settings.log,
            epoch=stats.epoch,
            first_offset=stats.first_offset,
            end_offset=stats.end_offset,
            appended=stats.end_offset - self._first_end_offset,
            duplicates=stats.duplicates,
            conflicting_duplicates=stats.conflicting_duplicates,
            pending_bytes=self._pending_bytes,
            segments=stats.segments,
            bytes_on_disk=stats.bytes_on_disk,
            oldest_append_time=stats.oldest_append_time,
            last_append_time=stats.last_append_time,
            dedupe_ids=stats.dedupe_ids,
            dedupe_bytes=stats.dedupe_bytes,
            indexes_rebuilt=stats.indexes_rebuilt,
            refusing=stats.refusing,
            cut_bytes=stats.cut_bytes,
            held_back_segments=self._held_back_segments,
            started_time=self._started_time,
            layout=self._layout,
        )

    async def close(self) -> None:
        """Write what is queued, answer it, then release the log. May be repeated."""
        if self._closed:
            return
        self._closed = True
        self._work.set()
        if self._writer is not None:
            await self._writer
        self._grown.set()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._write_thread, self._log.close)
        self._write_thread.shutdown(wait=False)
        self._read_threads.shutdown(wait=False)

    def _check_open(self) -> None:
        if self._closed or self.stopped.is_set():
            raise self._stopped_error()

    def _stopped_error(self) -> LogStoppedError:
        reason = self._reason or "it was closed"
        return LogStoppedError(
            f"partition {self._partition} has stopped ({reason}): try the same batch again, the next writer knows "
            "whether it is stored"
        )


class DamagedPartition:
    """Stands in for a partition whose log cannot be opened: it takes nothing, and tells everyone why."""

    def __init__(self, partition: int, log: Literal["file", "mongo"], reason: str) -> None:
        self._partition, self._log, self._reason = partition, log, reason

    async def append(self, *_: object) -> Appended:
        raise self._error()

    async def fetch(self, *_: object) -> Fetched:
        raise self._error()

    async def seal(self, *_: object) -> int:
        raise self._error()

    async def resolve(self, *_: object) -> int:
        raise self._error()

    async def trim(self, *_: object, force: bool = False) -> Trimmed:  # noqa: ARG002
        raise self._error()

    def status(self) -> PartitionStatus:
        """Stopped, with the reason; the numbers are not known and stand at 0."""
        return PartitionStatus(
            partition=self._partition,
            state="stopped",
            stopped_reason=self._reason,
            log=self._log,
            epoch=0,
            first_offset=0,
            end_offset=0,
            appended=0,
            duplicates=0,
            conflicting_duplicates=0,
            pending_bytes=0,
            segments=0,
            bytes_on_disk=0,
            oldest_append_time=None,
            last_append_time=None,
            dedupe_ids=0,
            dedupe_bytes=0,
            indexes_rebuilt=0,
            refusing=self._reason,
            cut_bytes=0,
            held_back_segments=0,
            started_time=0,
        )

    def _error(self) -> CorruptionError:
        return CorruptionError(
            f"partition {self._partition} is damaged and takes nothing: {self._reason}. Run `pistats stream verify` "
            "on its directory, do what it says, and start again"
        )

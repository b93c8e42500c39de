"""Reads one partition in ranges that are worth a commit: full, or as old as the flush interval."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from pistats.errors import CorruptionError
from pistats.stream import frame
from pistats.stream.batch import Fetched

Fetch = Callable[[int, int, int, float], Awaitable[Fetched]]
"""(partition, offset, max_bytes, wait_s): a long poll. Raises PositionError when the offset was trimmed."""

FETCH_BYTES = 1_000_000
"""Compressed bytes of one fetch: some 13,000 events, a few commits' worth, so that catching up isn't bound by calls."""

Hold = Callable[[int, int], Awaitable[int | None]]
"""(offset, layout): the first offset from there on that has to wait, None when none has. See `Barriers.held_from`."""

HELD_PAUSE_S = 0.1
"""Before records that wait for other partitions are looked at again: a change of the layout is over in seconds."""

RANGE_BYTES = 8_000_000
"""Uncompressed bytes after which a range is full, and one frame more: the largest events allowed would make a commit of
160 MB otherwise, which MongoDB does not take in time."""

IDLE_WAIT_S = 2.0
"""One long poll without records. Bounds how long a stop or a hand-over waits, and is the beat of the check mark."""

MINUTE_MS = 60_000


class FramePart(NamedTuple):
    """Records in a row that were appended together."""

    append_time: int  # Unix ms
    records: int
    duplicates: int  # what the partition had acknowledged without storing, up to and including their frame


@dataclass(frozen=True, slots=True)
class RecordRange:
    """Consecutive records of a partition, never none. The offset of `payloads[i]` is `first_offset + i`."""

    first_offset: int
    payloads: list[bytes]
    parts: list[FramePart]  # in order
    caught_up: bool  # nothing was waiting behind them

    @property
    def end_offset(self) -> int:
        return self.first_offset + len(self.payloads)

    @property
    def append_time(self) -> int:
        """Of the last record, Unix ms."""
        return self.parts[-1].append_time

    def minutes(self) -> list[int]:
        """The append minute of each record, Unix ms."""
        return [time - time % MINUTE_MS for time, count, _ in self.parts for _ in range(count)]


@dataclass(frozen=True, slots=True)
class _Run:
    append_time: int
    duplicates: int
    payloads: list[bytes]
    size_bytes: int


class PartitionReader:
    """Hands out every record from `offset` on once, in order."""

    def __init__(
        self,
        fetch: Fetch,
        partition: int,
        offset: int,
        *,
        max_events: int,
        flush_interval_s: float,
        idle_wait_s: float = IDLE_WAIT_S,
        hold: Hold | None = None,
    ) -> None:
        self._fetch = fetch
        self._partition = partition
        self._offset = offset  # of the first record not yet handed out
        self._next = offset  # where to fetch
        self._end = offset
        self.max_events = max_events
        """Records of one range at most; may be changed between two calls of `next`."""
        self.flush_interval_s = flush_interval_s
        """How long the first record of a range waits for more; may be changed between two calls of `next`."""
        self._idle_wait_s = idle_wait_s
        self._hold = hold
        self._layout = 0  # the highest that a fetch has shown
        self._waiting: deque[_Run] = deque()
        self._waiting_events = 0
        self._waiting_bytes = 0

    @property
    def end_offset(self) -> int:
        """The first offset that was not yet durable at the last fetch."""
        return self._end

    @property
    def is_empty(self) -> bool:
        """Whether every record that was fetched has been handed out."""
        return self._waiting_events == 0

    async def next(self) -> RecordRange | None:
        """The next range: full at once, else what came within the flush interval of the first record.

        None when nothing came within `idle_wait_s`, or what came has to wait. Raises what `fetch` raises; then the
        reader is as it was.
        """
        if self._waiting_events == 0:
            await self._poll(self._idle_wait_s)
        if self._waiting_events == 0:
            return None
        if self._has_room() and self._next >= self._end:
            # One sleep and one fetch, instead of a call for every few records that trickle in.
            await asyncio.sleep(self.flush_interval_s)
            await self._poll(0)
        while self._has_room() and self._next < self._end:
            await self._poll(0)
        held_from = None if self._hold is None else await self._hold(self._offset, self._layout)
        if held_from is not None and held_from <= self._offset:
            await asyncio.sleep(HELD_PAUSE_S)
            return None
        return self._take(self.max_events if held_from is None else min(self.max_events, held_from - self._offset))

    def _has_room(self) -> bool:
        """Whether what waits is less than a full range."""
        return self._waiting_events < self.max_events and self._waiting_bytes < RANGE_BYTES

    async def _poll(self, wait_s: float) -> None:
        fetched = await self._fetch(self._partition, self._next, FETCH_BYTES, wait_s)
        for stored in fetched.frames:
            self._add(stored)
        self._end = fetched.end_offset
        self._layout = max(self._layout, fetched.layout)

    def _add(self, stored: bytes) -> None:
        """Queue the records of a frame that were not handed out before; its first ones may have been."""
        content = frame.columns(stored)
        seen = self._next - content.first_offset
        if seen < 0:
            raise CorruptionError(
                f"Partition {self._partition}: offsets {self._next} to {content.first_offset - 1} are missing from "
                "what was fetched. Run `pistats stream verify` on the partition's directory."
            )
        if seen < len(content.payloads):
            payloads = content.payloads[seen:]
            self._wait(_Run(content.append_time, content.duplicates, payloads, sum(map(len, payloads))))
            self._next += len(payloads)

    def _wait(self, run: _Run, *, first: bool = False) -> None:
        (self._waiting.appendleft if first else self._waiting.append)(run)
        self._waiting_events += len(run.payloads)
        self._waiting_bytes += run.size_bytes

    def _take(self, most: int) -> RecordRange:
        first, payloads, parts = self._offset, list[bytes](), list[FramePart]()
        size_bytes = 0
        while self._waiting and len(payloads) < most and size_bytes < RANGE_BYTES:
            run = self._waiting.popleft()
            self._waiting_events -= len(run.payloads)
            self._waiting_bytes -= run.size_bytes
            taken, left = run.payloads[: most - len(payloads)], run.payloads[most - len(payloads) :]
            if left:
                self._wait(_Run(run.append_time, run.duplicates, left, sum(map(len, left))), first=True)
            payloads += taken
            parts.append(FramePart(run.append_time, len(taken), run.duplicates))
            size_bytes += run.size_bytes
        self._offset += len(payloads)
        return RecordRange(first, payloads, parts, caught_up=not self._waiting and self._offset >= self._end)

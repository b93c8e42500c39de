"""Sends a file of events: read → batch → deliver, a few batches in flight, at most `rate` events a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pistats.errors import PistatsError
from pistats.send.delivery import Delivered, Delivery, RefusedError, UndeliveredError
from pistats.send.events_file import BadLine, EventLine

IN_FLIGHT = 4
"""Batches in flight: enough to keep group commits busy, few enough to keep a visitor's events close to order."""

MAX_BATCH_BYTES = 400_000
"""The server takes 500 KB a request; the rest is the envelope and caution."""

LISTED = 1_000
"""Bad lines kept for the report; all are counted."""


@dataclass(slots=True)
class SendReport:
    """Final counts. `accepted`, `duplicates` and `rejected` are the server's; `undelivered` got no answer."""

    lines: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    bad: int = 0
    undelivered: int = 0
    refusal: str | None = None
    listed: list[BadLine] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every line is stored."""
        return self.rejected == self.bad == self.undelivered == 0

    def list_line(self, line: BadLine) -> None:
        if len(self.listed) < LISTED:
            self.listed.append(line)


class Sender:
    """Sends every event of `lines`; goes on after bad and rejected lines, stops when the server refuses them all."""

    def __init__(
        self,
        delivery: Delivery,
        *,
        batch_events: int,
        rate: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_progress: Callable[[SendReport], None] = lambda report: None,  # noqa: ARG005
    ) -> None:
        self._delivery, self._batch_events, self._rate = delivery, batch_events, rate
        self._monotonic, self._sleep, self._on_progress = monotonic, sleep, on_progress
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._sent = 0
        self.report = SendReport()

    async def send(self, lines: Iterable[EventLine | BadLine]) -> SendReport:
        """The final counts. Cancelling it stops reading; what is in flight then counts as undelivered."""
        started = self._monotonic()
        async with asyncio.TaskGroup() as tasks:
            batches = self._batches(lines)
            # Reading waits in a thread: standard input may be silent while answers arrive.
            while batch := await asyncio.to_thread(next, batches, None):
                await self._slots.acquire()
                if self.report.refusal:
                    self._slots.release()
                    break
                await self._pace(started)
                self._sent += len(batch)
                self.report.undelivered += len(batch)
                tasks.create_task(self._deliver(batch))
        return self.report

    def _batches(self, lines: Iterable[EventLine | BadLine]) -> Iterator[list[EventLine]]:
        batch: list[EventLine] = []
        size = 0
        for line in lines:
            self.report.lines += 1
            if isinstance(line, BadLine):
                self.report.bad += 1
                self.report.list_line(line)
                continue
            if batch and (len(batch) == self._batch_events or size + len(line.event) > MAX_BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(line)
            size += len(line.event)
        if batch:
            yield batch

    async def _pace(self, started: float) -> None:
        if self._rate is not None:
            await self._sleep(max(0.0, started + self._sent / self._rate - self._monotonic()))

    async def _deliver(self, batch: list[EventLine]) -> None:
        try:
            self._count(batch, await self._delivery.deliver([line.event for line in batch]))
        except (RefusedError, UndeliveredError) as error:
            self._refuse(error)
        finally:
            self._slots.release()
            self._on_progress(self.report)

    def _count(self, batch: list[EventLine], delivered: Delivered) -> None:
        report = self.report
        report.undelivered -= len(batch)
        report.accepted += delivered.accepted
        report.duplicates += delivered.duplicates
        report.rejected += len(delivered.rejected)
        for rejected in delivered.rejected:
            number = batch[rejected.index].number
            report.list_line(BadLine(number, f"rejected: {rejected.reason} {rejected.detail}".rstrip()))

    def _refuse(self, error: PistatsError) -> None:
        """A key that is unknown, or a server that is gone for minutes, will not take the rest of the file either."""
        self.report.refusal = self.report.refusal or str(error)

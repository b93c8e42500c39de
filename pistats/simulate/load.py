"""Open-loop load: events are due at the rate, whatever the server does; each is sent until it is answered for."""

import asyncio
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from pistats.clock import Clock, now_ms
from pistats.send.delivery import Delivered, Delivery, RefusedError, UndeliveredError

TICK_S = 0.01
"""How often due events are looked for."""
LINGER_S = 0.2
"""A batch that is not full is sent after this: at a low rate freshness matters, not requests."""
MAX_PENDING_EVENTS = 500_000
"""Events made and not yet acknowledged; above, making them waits. 250 MB, or 16 minutes of outage at 500 events/s."""
SLICE_EVENTS = 2_000
"""Events made at once before other tasks have a turn: 25 ms."""
INTERRUPT_GRACE_S = 5.0
"""After Ctrl-C, how long requests in flight may still be answered."""


@dataclass(slots=True)
class LoadReport:
    """Final counts. `accepted`, `duplicates` and `rejected` are the server's; `undelivered` got no answer in time."""

    sent: int = 0
    acknowledged: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    undelivered: int = 0
    refusal: str | None = None
    latencies_s: "array[float]" = field(default_factory=lambda: array("d"))

    @property
    def pending(self) -> int:
        return self.sent - self.acknowledged - self.rejected - self.undelivered

    @property
    def complete(self) -> bool:
        """Whether every event that was made is durable."""
        return self.acknowledged == self.sent and self.refusal is None

    def latency_ms(self, quantile: float) -> float | None:
        """From the moment a batch was due to be sent to its answer, retries included; None without any."""
        if not self.latencies_s:
            return None
        ordered = sorted(self.latencies_s)
        return 1_000 * ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]


@dataclass(slots=True)
class _Batch:
    ids: list[str] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    begun_s: float = 0.0
    due_s: float = 0.0


class Load:
    """Sends what `next_event` makes at `rate` events a second; an event keeps its id through every retry."""

    def __init__(
        self,
        next_event: Callable[[], dict[str, Any]],
        new_id: Callable[[], str],
        delivery: Delivery,
        *,
        rate: float,
        batch_events: int,
        requests: int,
        on_acknowledged: Callable[[Sequence[str]], None] = lambda ids: None,  # noqa: ARG005
        clock: Clock = now_ms,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._next_event, self._new_id, self._delivery = next_event, new_id, delivery
        self._rate, self._batch_events = rate, batch_events
        self._on_acknowledged = on_acknowledged
        self._clock, self._monotonic, self._sleep = clock, monotonic, sleep
        self._slots = asyncio.Semaphore(requests)
        self._batch = _Batch()
        self._tasks: set[asyncio.Task[None]] = set()
        self.report = LoadReport()

    async def run(self, seconds: float | None, stop: asyncio.Event) -> LoadReport:
        """Makes and sends events for `seconds` (None: until `stop`), then waits for every answer.

        With `stop` set, only INTERRUPT_GRACE_S longer; what is not answered then counts as undelivered.
        """
        started = self._monotonic()
        total = None if seconds is None else round(self._rate * seconds)
        while not stop.is_set() and self.report.refusal is None and (total is None or self.report.sent < total):
            due = int(self._rate * (self._monotonic() - started)) + 1
            self._make(min(due if total is None else min(due, total), self._room()))
            await self._sleep(0 if self.report.sent + SLICE_EVENTS < due else TICK_S)
        self._dispatch()
        await self._drain(stop)
        return self.report

    def _room(self) -> int:
        """How far `sent` may go now: by one slice, and never past the bound on pending events."""
        report = self.report
        return report.sent + min(SLICE_EVENTS, MAX_PENDING_EVENTS - report.pending)

    def _make(self, until: int) -> None:
        now_s = self._monotonic()
        while self.report.sent < until:
            event = self._next_event()
            event["event_id"] = event_id = self._new_id()
            event["time"] = self._clock()
            if not self._batch.events:
                self._batch.begun_s = now_s
            self._batch.ids.append(event_id)
            self._batch.events.append(orjson.dumps(event))
            self.report.sent += 1
            if len(self._batch.events) >= self._batch_events:
                self._dispatch()
        if self._batch.events and now_s - self._batch.begun_s >= LINGER_S:
            self._dispatch()

    def _dispatch(self) -> None:
        if self._batch.events:
            self._batch.due_s = self._monotonic()
            task = asyncio.create_task(self._deliver(self._batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._batch = _Batch()

    async def _deliver(self, batch: _Batch) -> None:
        try:
            async with self._slots:
                delivered = await self._delivery.deliver(batch.events)
        except UndeliveredError:
            self.report.undelivered += len(batch.events)
        except RefusedError as error:
            self.report.undelivered += len(batch.events)
            self.report.refusal = str(error)
        except asyncio.CancelledError:
            self.report.undelivered += len(batch.events)
            raise
        else:
            self._count(batch, delivered)

    def _count(self, batch: _Batch, delivered: Delivered) -> None:
        """An id is acknowledged only here: its request was answered 202, and did not name it as rejected."""
        report = self.report
        report.latencies_s.append(self._monotonic() - batch.due_s)
        rejected = {item.index for item in delivered.rejected}
        ids = [event_id for index, event_id in enumerate(batch.ids) if index not in rejected] if rejected else batch.ids
        report.acknowledged += len(ids)
        report.accepted += delivered.accepted
        report.duplicates += delivered.duplicates
        report.rejected += len(rejected)
        self._on_acknowledged(ids)

    async def _drain(self, stop: asyncio.Event) -> None:
        """Waits for the requests under way: as long as they are retried, or until the grace after `stop` is over."""
        stopped = asyncio.create_task(stop.wait())
        while self._tasks and not stopped.done():
            await asyncio.wait({stopped, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=INTERRUPT_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

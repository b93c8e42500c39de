"""One partition's consumer: fetch, enrich, fold, commit, and again from the checkpoint after whatever went wrong."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bson.errors import BSONError
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from pistats.clock import Clock, now_ms
from pistats.consumer.commit import Committer, Flush
from pistats.consumer.duties import Duties, OwnerOf
from pistats.consumer.lease import Lease, LeaseStore
from pistats.consumer.pace import FlushPace
from pistats.consumer.poison import HARMLESS, NO_SUSPICION, suspicion_of
from pistats.consumer.projection import FOLD_ERRORS, Projection
from pistats.consumer.reader import IDLE_WAIT_S, Fetch, Hold, PartitionReader, RecordRange
from pistats.consumer.requests import Request
from pistats.consumer.transform import Transform, Transformed, failure_of
from pistats.errors import FencedError, RetryableError
from pistats.metrics import NoRecorder, PartitionMetrics
from pistats.settings import ConsumerSettings, LiveSettings

log = logging.getLogger(__name__)

HOPELESS = (*FOLD_ERRORS, BSONError, RecursionError)
"""What one event's values can raise at its commit, again and again. Not what passes, as MongoDB's absence does."""

Settled = Callable[[], Awaitable[int | None]]
"""How many changes of the layout there were; None while visitors are on the move. See `Barriers.settled`."""

Start = Callable[[int], Awaitable[int]]
"""Where a group without a checkpoint begins in this partition: an offset."""


async def trim_horizon(_: int) -> int:
    """The very first record: nothing was trimmed yet."""
    return 0


async def never_resized() -> int:
    """No visitor ever moved."""
    return 0


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What one partition's consumer has done in this process's life. `offset`: next to consume."""

    partition: int
    epoch: int
    offset: int | None
    end_offset: int
    committed_events: int
    commits: int
    fenced: int
    failures: int
    last_error: str | None

    @property
    def lag_events(self) -> int:
        return self.end_offset - (self.offset or 0)


class PartitionConsumer:
    """Consumes one partition for one group while it holds the lease. Every record changes MongoDB exactly once.

    Whatever is in memory is dropped on any failure, and read again from MongoDB behind a new epoch.
    """

    def __init__(
        self,
        partition: int,
        owner: str,
        *,
        fetch: Fetch,
        database: AsyncDatabase[dict[str, Any]],
        consumers: ConsumerSettings,
        live: LiveSettings,
        transform: Transform,
        start: Start = trim_horizon,
        hold: Hold | None = None,
        cuts_passed: Callable[[], int] = lambda: 0,
        settled: Settled = never_resized,
        system: AsyncDatabase[dict[str, Any]] | None = None,
        owner_of: OwnerOf | None = None,
        metrics: PartitionMetrics | None = None,
        clock: Clock = now_ms,
    ) -> None:
        """`hold` says which records have to wait for other partitions (`Barriers.held_from`); None: never any.

        `cuts_passed`: how many changes of the layout lie before the records that were handed out last. Requests wait
        until the visitors are `settled`. `system`: the database of sites and erasures; None: every site has UTC, and
        nobody was erased. `owner_of`: see `Duties`.
        """
        self._partition = partition
        self._owner = owner
        self._fetch = fetch
        self._database = database
        self._consumers = consumers
        self._live = live
        self._transform = transform
        self._start = start
        self._hold_back = hold
        self._cuts_passed = cuts_passed
        self._settled = settled
        self._system = system
        self._clock = clock
        self._leases = LeaseStore(database, consumers.lease_s)
        # Shorter than the lease, so that an answer that doesn't come is looked into while the lease may still hold.
        self._committer = Committer(database, self._leases, timeout_s=consumers.lease_s / 2)
        self._stopping = asyncio.Event()
        self._danger = transform.danger
        self._suspicion = NO_SUSPICION
        self._metrics = metrics or PartitionMetrics(NoRecorder(), consumers.group, partition)
        self._life = (owner, self._danger.life)
        self._duties = Duties(database, partition, transform, self._leases, self._life, owner_of)
        self._range_events = consumers.max_batch_events
        """Halved by every failure, doubled by every commit: what is too much for MongoDB gets smaller."""
        self._pace = FlushPace(consumers.flush_interval_s, consumers.max_flush_interval_s)
        self._status = WorkerStatus(partition, 0, None, 0, 0, 0, 0, 0, None)

    @property
    def status(self) -> WorkerStatus:
        return self._status

    def stop(self) -> None:
        """Ask it to commit what it has read, give back the lease and return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop`, or until another holds the lease. Survives everything that can pass."""
        try:
            while not self._stopping.is_set() and await self._hold():
                pass
        finally:
            self._metrics.lag(0, 0.0)  # whoever has the partition now says how far behind it is
            await self._committer.close()

    async def _hold(self) -> bool:
        """Take the lease and consume under it until something ends that. False when another has the partition."""
        try:
            lease = await self._leases.acquire(
                self._partition, self._owner, self._committer.session_id, self._danger.life
            )
            if lease is None:
                return False
            await self._consume(lease)
            await self._leases.release(lease)
        except FencedError as error:
            log.info("%s", error)
            self._metrics.fenced()
            self._note(fenced=self._status.fenced + 1, last_error=str(error))
        except Exception as error:
            await self._pause_after(error)
        return True

    async def _consume(self, lease: Lease) -> None:
        offset = await self._checkpoint(lease)
        await self._suspect(lease)
        reader = PartitionReader(
            self._fetch,
            self._partition,
            offset,
            max_events=self._range_events,
            flush_interval_s=self._pace.interval_s,
            # An idle consumer renews its lease between polls.
            idle_wait_s=min(IDLE_WAIT_S, self._consumers.lease_s / 4),
            hold=self._hold_back,
        )
        # A log that is read from its first record on has acknowledged nothing before.
        duplicates = 0 if offset == 0 else lease.duplicates
        projection = Projection(
            self._database,
            self._partition,
            self._consumers,
            self._live,
            self._clock,
            duplicates=duplicates,
            danger=self._danger,
            system=self._system,
        )
        self._note(epoch=lease.epoch, offset=offset)
        while not self._stopping.is_set():
            slice_events = self._suspicion.slice_events(offset)
            reader.max_events = min(self._range_events, slice_events or self._range_events)
            records = await reader.next()
            if records is None:
                await self._leases.renew(lease, fields={"checked_at": "$$NOW", "caught_up": reader.is_empty})
                self._note(last_error=None)
            else:
                started = time.monotonic()
                await self._flush(lease, records, projection, noted=slice_events is not None)
                reader.flush_interval_s = self._pace.flushed(time.monotonic() - started)
                self._range_events = min(2 * self._range_events, self._consumers.max_batch_events)
                offset = records.end_offset
            self._suspicion = self._suspicion.within(reader.end_offset)
            self._note(end_offset=reader.end_offset)
            self._metrics.lag(self._status.lag_events, self._behind_s(records))
            await self._serve(lease, offset, projection)

    def _behind_s(self, records: RecordRange | None) -> float:
        """How old the last consumed record is, while others wait behind it."""
        if records is None or records.caught_up:
            return 0.0
        return max(0.0, (self._clock() - records.append_time) / 1000)

    async def _suspect(self, lease: Lease) -> None:
        """Take up what the last owner's end gives cause for. One that ended within this process did not die of it."""
        if lease.died:
            log.warning("partition %s: its last consumer ended without a word; going on with care", self._partition)
        elif lease.document.get("suspect") is not None:
            await self._leases.renew(lease, fields=HARMLESS)
        lives = {self._owner: self._danger.life}
        if lease.died and lease.document.get("suspect") is not None:
            lives |= await self._leases.lives()
        self._suspicion = suspicion_of(
            lease.document,
            died=lease.died,
            range_events=self._consumers.max_batch_events,
            ended=lambda one: lives.get(one[0], one[1]) != one[1],
        ).joined(self._suspicion)

    async def _checkpoint(self, lease: Lease) -> int:
        """Where to begin. A group's start is settled once, so that "latest" means the same after a crash."""
        if lease.offset is not None:
            return lease.offset
        offset = await self._start(self._partition)
        await self._leases.renew(lease, fields={"offset": offset, "start_offset": offset})
        return offset

    async def _flush(self, lease: Lease, records: RecordRange, projection: Projection, *, noted: bool) -> None:
        """Enrich, fold and commit one range: the journey of an event, once more, in one place."""
        try:
            await self._journey(lease, records, projection, noted=noted)
        except HOPELESS as error:
            if len(records.payloads) == 1:  # else smaller ranges find the event
                failure = failure_of("consume", error)
                self._suspicion = self._suspicion.giving_up(records.first_offset, failure)
            raise

    async def _journey(self, lease: Lease, records: RecordRange, projection: Projection, *, noted: bool) -> None:
        async with self._danger.alone:
            if noted:
                note = self._suspicion.note(records.first_offset, len(records.payloads), self._life)
                await self._leases.renew(lease, fields=note)
            transformed = await self._enrich(records)
            change = await projection.apply(transformed, cuts_passed=self._cuts_passed())
            if noted:
                await self._leases.renew(lease, fields=HARMLESS)
        began = time.perf_counter()
        await self._committer.commit(
            Flush(
                lease=lease,
                from_offset=records.first_offset,
                to_offset=records.end_offset,
                append_time=records.append_time,
                caught_up=records.caught_up,
                documents=change.documents,
                chunks=change.chunks,
                ledger=change.ledger,
                removed=change.removed,
                duplicates=change.duplicates,
            )
        )
        projection.committed()
        self._metrics.flushed(
            len(records.payloads),
            time.perf_counter() - began,
            sum(tally.duplicates for tally in change.ledger.values()),
            Counter(letter["reason"] for letter in change.documents["dead_letters"]),
        )
        status = self._status
        self._note(
            offset=records.end_offset,
            committed_events=status.committed_events + len(records.payloads),
            commits=status.commits + 1,
            last_error=None,
        )

    async def _serve(self, lease: Lease, offset: int, projection: Projection) -> None:
        """Do what was asked of this partition, if anything: for at most a flush interval, then records have a turn."""
        until = time.monotonic() + self._consumers.flush_interval_s
        while requests := await self._duties.waiting():
            cuts_passed = await self._settled()
            if cuts_passed is None:
                return
            if not await self._duties.given_up(requests) and not await self._duties.forward(requests):
                await self._fulfil(lease, offset, requests, projection, cuts_passed)
            if time.monotonic() > until:
                return

    async def _fulfil(
        self, lease: Lease, offset: int, requests: Sequence[Request], projection: Projection, cuts_passed: int
    ) -> None:
        """Do some requests in one commit without records, which takes them off the list."""
        await self._duties.requests.begin(requests, self._life)
        try:
            async with self._danger.alone:
                duty = await self._duties.prepare(requests)
                change = await projection.apply(None, duty.work, cuts_passed=cuts_passed)
            flush = Flush(
                lease=lease,
                from_offset=offset,
                to_offset=offset,
                append_time=None,
                caught_up=None,
                documents=change.documents,
                chunks=change.chunks,
                ledger=change.ledger,
                removed=change.removed,
                requests=duty.requests,
                asked=change.asked,
                duplicates=change.duplicates,
                cuts_passed=cuts_passed,
            )
            await self._committer.commit(flush)
        except (FencedError, RetryableError, PyMongoError):
            with contextlib.suppress(PyMongoError):  # else they look as if they had ended it when it ends, once
                await self._duties.requests.end(requests, self._life)
            raise
        except Exception as error:
            # They would stop the partition for ever. What is half done in memory goes with the projection.
            await self._duties.requests.put_aside(requests, f"{type(error).__name__}: {error}")
            raise
        projection.committed()

    async def _enrich(self, records: RecordRange) -> Transformed:
        """The outcomes of a range; a condemned event is not touched again."""
        if records.first_offset == self._suspicion.condemned:
            log.error("partition %s: offset %s is given up", self._partition, records.first_offset)
            return Transformed(records, [self._suspicion.failure or self._danger.verdict()])
        return await self._transform.apply(self._partition, records)

    async def _pause_after(self, error: Exception) -> None:
        """Wait, and leave it to the next lease to read again. A stop ends the wait."""
        if isinstance(error, (RetryableError, PyMongoError)):
            log.warning("partition %s, consumer %s: %s", self._partition, self._owner, error)
        else:
            log.exception("partition %s, consumer %s: unexpected", self._partition, self._owner)
        self._range_events = max(1, self._range_events // 2)
        self._note(failures=self._status.failures + 1, last_error=f"{type(error).__name__}: {error}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._consumers.pause_before_retry_s):
                await self._stopping.wait()

    def _note(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)

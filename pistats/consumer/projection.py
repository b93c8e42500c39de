"""What a range of events changes in MongoDB: minutes, feed, visitors, retention, dead letters, chunks, the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import Any, NamedTuple, Protocol

from pyarrow.lib import ArrowException

from pistats.clock import Clock, now_ms
from pistats.consumer.chunks import chunk_documents
from pistats.consumer.poison import Danger
from pistats.consumer.requests import Request, merge_visitors
from pistats.consumer.tally import Erased, Outcome, Tally, ledger_of
from pistats.consumer.transform import Transformed, failure_of
from pistats.consumer.work import NO_WORK, VisitorMerge, Work
from pistats.enrich import EnrichedEvent, Failure
from pistats.live.feed import LiveFeed
from pistats.live.fold import LiveBuckets
from pistats.mongo.indexes import Database
from pistats.settings import ConsumerSettings, LiveSettings
from pistats.visitors.calendar import QUARTER_MS, LocalDays
from pistats.visitors.erasures import Erasures
from pistats.visitors.retention import RetentionCells
from pistats.visitors.visitors import Visitors
from pistats.visitors.zones import SiteZones
from pistats.warehouse.chunk import events_to_batch

Document = dict[str, Any]

FOLD_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, ArrowException)
"""What a value that a step let through can raise later on."""

MAX_DETAIL_CHARS = 1_000
"""Of a dead letter's detail: the message of an exception may quote the whole event."""


@dataclass(frozen=True, slots=True)
class Change:
    """Everything that one flush writes beside the checkpoint."""

    documents: Mapping[str, Sequence[Document]]  # whole documents per collection
    chunks: Sequence[Document]  # new documents of the outbox
    ledger: Mapping[int, Tally]  # per append minute, Unix ms
    duplicates: int | None  # what the partition had acknowledged without storing, up to the last record
    removed: Mapping[str, Sequence[Document]] = field(default_factory=dict)  # `_id`s per collection
    asked: Sequence[Request] = ()  # of other partitions' owners


class View(Protocol):
    """Documents that events are folded into, in memory. Reads nothing and writes nothing itself."""

    def missing(self, events: Iterable[EnrichedEvent]) -> list[Document]:
        """The `_id`s of stored documents that these events change and that are not in memory."""

    def load(self, documents: Iterable[Document]) -> None: ...

    def fold(self, events: Sequence[EnrichedEvent]) -> object: ...

    def documents(self) -> list[Document]:
        """Whole documents that were changed since the last `committed`."""

    def committed(self) -> None: ...


class Item(NamedTuple):
    """One record and what became of it."""

    offset: int
    append_minute: int
    payload: bytes
    outcome: Outcome
    redone: bool
    moved_to: int | None = None  # the partition that the visitor of a dead letter lives in by now
    received: bytes | None = None  # what came, where someone has mended the payload since


class Projection:
    """One partition's views in memory, equal to MongoDB plus the one range that is being committed.

    For one lease. When a commit fails, or its outcome is unknown, throw this away: a new one reads what is stored.
    """

    def __init__(
        self,
        database: Database,
        partition: int,
        consumers: ConsumerSettings,
        live: LiveSettings,
        clock: Clock = now_ms,
        *,
        duplicates: int | None = None,
        danger: Danger | None = None,
        system: Database | None = None,
    ) -> None:
        """`duplicates`: what the partition had acknowledged without storing at the checkpoint; None: not known.

        `danger` watches what is done to events. `system`: the database of sites and erasures; None: every site has
        UTC, and nobody was erased.
        """
        self._danger = danger or Danger()
        self._database = database
        self._partition = partition
        self._consumers = consumers
        self._live = live
        self._clock = clock
        self._duplicates = duplicates
        self._zones = SiteZones(system)
        self._erasures = Erasures(system)
        self._cuts_passed = 0
        self._begin_again()

    def _begin_again(self) -> None:
        self._feed = self._new_feed()
        self._views: dict[str, View] = {"minutes": self._new_buckets(), "feed": self._feed}
        self._visitors = self._new_visitors()
        self._cells = RetentionCells(self._partition)

    def _new_views(self) -> dict[str, View]:
        """Empty views, by the collection that stores them."""
        return {"minutes": self._new_buckets(), "feed": self._new_feed()}

    def _new_buckets(self) -> LiveBuckets:
        return LiveBuckets(self._partition, max_keys=self._live.max_keys, late_minutes=self._consumers.late_minutes)

    def _new_feed(self) -> LiveFeed:
        return LiveFeed(self._partition, self._live.feed_events)

    def _new_visitors(self) -> Visitors:
        return Visitors(self._partition, self._days_of, self._consumers.visitors_in_memory)

    def _days_of(self, site: str) -> LocalDays:
        return self._zones.days_of(site)

    async def apply(self, transformed: Transformed | None, work: Work = NO_WORK, *, cuts_passed: int = 0) -> Change:
        """Fold a range, if any, and do the work; give what has to be written for both.

        An event that cannot be folded becomes a dead letter; nothing of it stays in the views. `cuts_passed`: how many
        changes of the layout lie before the range. Other partitions may have written its visitors before the last one.
        """
        if cuts_passed != self._cuts_passed:
            self._visitors.forget()
            self._cuts_passed = cuts_passed
        now_ms = self._clock()
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        await self._erasures.refresh(now_ms, at_once=work is not NO_WORK)
        items = self._judged(items_of(transformed, work))
        try:
            asked = await self._fold(items, work)
            chunks = self._chunks(items, now)
        except FOLD_ERRORS:
            # Half of it may be folded: begin again from what is stored, without the events that fail by themselves.
            items = [self._tried(item) for item in items]
            self._begin_again()
            asked = await self._fold(items, work)
            chunks = self._chunks(items, now)
        return replace(self._change(transformed, items, chunks, now), asked=asked)

    def committed(self) -> None:
        """What the last `apply` gave is stored."""
        for view in self._views.values():
            view.committed()
        self._visitors.committed()
        self._cells.committed()

    async def _fold(self, items: Sequence[Item], work: Work) -> list[Request]:
        """Fold everything; what other partitions' owners have to be asked for."""
        events = events_of(items)
        await self._zones.learn({event["site"] for event in events} | {merge.site for merge in work.merged})
        # First of all, for sessions are written into the events.
        await self._fold_visitors(residents(items) if work.redone else events, work)
        asked = await self._hand_on(items) if work.redone else []
        await self._erase_from_feed(work)
        for collection, view in self._views.items():
            view.load(await self._stored(collection, view.missing(events)))
            with self._danger.watched():
                view.fold(events)
        return asked

    async def _fold_visitors(self, events: Sequence[EnrichedEvent], work: Work) -> None:
        visitors = self._visitors
        asked = [*work.erased, *((merge.site, merge.visitor_id) for merge in work.merged)]
        visitors.load(await self._stored("visitors", visitors.missing(events, asked)))
        # Whether the request to erase comes before the first event of the new visitor, or minutes after it.
        erased = self._erasures.among(events) | {visitor: self._erased_time(*visitor) for visitor in work.erased}
        for (site, visitor_id), erased_time in erased.items():
            visitors.erase(site, visitor_id, erased_time)
        for merge in work.merged:
            self._merge(merge)
        with self._danger.watched():
            visitors.fold(events)
        changes = visitors.changes()
        self._cells.load(await self._stored("retention", self._cells.missing(changes)))
        self._cells.fold(changes)

    def _merge(self, merge: VisitorMerge) -> None:
        """Nothing of a visitor who was erased since the backfill read the tombstones: it may be what was erased.

        Who knew of the tombstone brings a new visitor: the former one has to be gone first, as for events, or the
        request to erase, which may come later, would take both.
        """
        erased_time = self._erasures.time_of(merge.site, merge.visitor_id)
        if erased_time is not None:
            if merge.known_time <= erased_time:
                return
            self._visitors.erase(merge.site, merge.visitor_id, erased_time)
        self._visitors.merge(merge.site, merge.visitor_id, merge.first_time, merge.days)

    def _erased_time(self, site: str, visitor_id: str) -> int:
        """Until when the visitor is erased: as the tombstone says. Without one, which comes first, until now."""
        found = self._erasures.time_of(site, visitor_id)
        return self._clock() if found is None else found

    async def _hand_on(self, items: Sequence[Item]) -> list[Request]:
        """Ask the owners of visitors that moved to take note of events that were dead letters here.

        Such an event belongs to the session that is stored. Only its visitor's owner may write the visitor.
        """
        moved = [item for item in items if item.moved_to is not None]
        events = events_of(moved)
        guests = self._new_visitors()
        guests.load(await self._stored("visitors", guests.missing(events)))
        for (site, visitor_id), erased_time in self._erasures.among(events).items():
            guests.erase(site, visitor_id, erased_time)
        with self._danger.watched():
            guests.fold(events)
        known_time = self._clock()
        name = f"moved:{self._partition}"
        return [
            merge_visitors(f"{name}:{item.offset}", item.moved_to, [self._seen(item.outcome)], known_time)
            for item in moved
            if item.moved_to is not None and isinstance(item.outcome, dict) and not item.outcome["is_bot"]
        ]

    def _seen(self, event: EnrichedEvent) -> list[Any]:
        """What one event says of its visitor, as `merge_visitors` wants it."""
        time = event["event_time"]
        return [event["site"], event["visitor_id"], time, [self._days_of(event["site"])[time // QUARTER_MS]]]

    async def _erase_from_feed(self, work: Work) -> None:
        if work.erased:
            self._feed.load(await self._stored("feed", self._feed.missing_of({site for site, _ in work.erased})))
            for site, visitor_id in work.erased:
                self._feed.erase(site, visitor_id, self._erased_time(site, visitor_id))

    def _chunks(self, items: Sequence[Item], now: datetime) -> list[Document]:
        with self._danger.watched():
            return chunks_of(items, now)

    async def _stored(self, collection: str, ids: list[Document]) -> list[Document]:
        return await self._database[collection].find({"_id": {"$in": ids}}).to_list() if ids else []

    def _change(
        self, transformed: Transformed | None, items: Sequence[Item], chunks: list[Document], now: datetime
    ) -> Change:
        documents = {collection: view.documents() for collection, view in self._views.items()}
        documents |= {"visitors": self._visitors.documents(), "retention": self._cells.documents()}
        for stored in documents.values():
            for document in stored:
                document["updated_at"] = now
        documents["dead_letters"] = dead_letters_of(items, self._partition, now)
        removed = {"visitors": self._visitors.gone(), "dead_letters": mended(items, self._partition)}
        ledger: dict[int, Tally] = {}
        if transformed is not None:
            records = transformed.records
            ledger = ledger_of(records, [item.outcome for item in items if not item.redone], self._duplicates)
            self._duplicates = records.parts[-1].duplicates
        for item in items:
            if item.redone and not isinstance(item.outcome, Failure):
                ledger.setdefault(item.append_minute, Tally()).correct(item.outcome)
        return Change(documents, chunks, ledger, self._duplicates, removed)

    def _judged(self, items: list[Item]) -> list[Item]:
        """The items, without the events of visitors who were erased since, and without dead letters of theirs."""
        if not self._erasures:
            return items
        return [item._replace(outcome=Erased.ERASED) if self._is_erased(item) else item for item in items]

    def _is_erased(self, item: Item) -> bool:
        if isinstance(item.outcome, dict):
            return self._erasures.drop(item.outcome)
        tried = (item.payload, *(() if item.received is None else (item.received,)))
        return any(self._erasures.drop_payload(payload, item.append_minute) for payload in tried)

    def _tried(self, item: Item) -> Item:
        """The item itself if it folds into empty views, else with the failure to do so."""
        if not isinstance(item.outcome, dict):
            return item
        try:
            visitors = self._new_visitors()
            visitors.fold([item.outcome])
            visitors.documents()
            for view in self._new_views().values():
                view.fold([item.outcome])
                view.documents()
            events_to_batch([item.outcome])
        except Exception as error:
            return item._replace(outcome=failure_of("fold", error))
        return item


def items_of(transformed: Transformed | None, work: Work) -> list[Item]:
    """Every record that this flush decides about: dead letters that were redone, then the range."""
    items = [Item(*one[:4], True, one.moved_to, one.received) for one in work.redone]
    if transformed is not None:
        records = transformed.records
        minutes = records.minutes()
        offsets = range(records.first_offset, records.end_offset)
        same = zip(offsets, minutes, records.payloads, transformed.outcomes, strict=True)
        items += [Item(offset, minute, payload, outcome, False) for offset, minute, payload, outcome in same]
    return items


def events_of(items: Sequence[Item]) -> list[EnrichedEvent]:
    """The events among the outcomes, in order."""
    return [item.outcome for item in items if isinstance(item.outcome, dict)]


def residents(items: Sequence[Item]) -> list[EnrichedEvent]:
    """The events whose visitors live in this partition, in order."""
    return events_of([item for item in items if item.moved_to is None])


def chunks_of(items: Sequence[Item], created_at: datetime) -> list[Document]:
    """The events for the warehouse. One that was a dead letter has a chunk of its own: its neighbours have theirs."""
    chunks: list[Document] = []
    events: list[EnrichedEvent] = []
    minutes: list[int] = []
    for item in items:
        if isinstance(item.outcome, dict):
            if item.redone:
                chunks += chunk_documents([item.outcome], [item.append_minute], created_at)
            else:
                events.append(item.outcome)
                minutes.append(item.append_minute)
    return [*chunks, *chunk_documents(events, minutes, created_at)]


def dead_letters_of(items: Sequence[Item], partition: int, created_at: datetime) -> list[Document]:
    """A document per failed record: where and when it came, what failed and why, its bytes, the code that tried.

    One that was mended and failed again keeps the bytes that came beside those that were tried.
    """
    return [
        {
            "_id": {"partition": partition, "offset": item.offset},
            "append_minute": item.append_minute,
            "stage": item.outcome.stage,
            "reason": item.outcome.reason.value,
            "detail": item.outcome.detail[:MAX_DETAIL_CHARS],
            "payload": item.payload,
            "code_version": code_version(),
            "created_at": created_at,
            **({} if item.received is None else {"received": item.received}),
        }
        for item in items
        if isinstance(item.outcome, Failure)
    ]


def mended(items: Sequence[Item], partition: int) -> list[Document]:
    """The `_id`s of the dead letters that are none any more."""
    return [
        {"partition": partition, "offset": item.offset}
        for item in items
        if item.redone and not isinstance(item.outcome, Failure)
    ]


@cache
def code_version() -> str:
    """The installed version of piStats."""
    return metadata.version("pistats")

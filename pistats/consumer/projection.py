"""What a range of events changes in MongoDB: whole minute buckets, the feed, dead letters, chunks, and the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import Any, Protocol

from pyarrow.lib import ArrowException

from pistats.clock import Clock, now_ms
from pistats.consumer.chunks import chunk_documents
from pistats.consumer.poison import Danger
from pistats.consumer.tally import Tally, ledger_of
from pistats.consumer.transform import Outcome, Transformed, failure_of
from pistats.enrich import EnrichedEvent, Failure, enriched_only
from pistats.live.feed import LiveFeed
from pistats.live.fold import LiveBuckets
from pistats.mongo.indexes import Database
from pistats.settings import ConsumerSettings, LiveSettings
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
    duplicates: int  # what the partition had acknowledged without storing, up to the last record


class View(Protocol):
    """Documents that events are folded into, in memory. Reads nothing and writes nothing itself."""

    def missing(self, events: Iterable[EnrichedEvent]) -> list[Document]:
        """The `_id`s of stored documents that these events change and that are not in memory."""

    def load(self, documents: Iterable[Document]) -> None: ...

    def fold(self, events: Sequence[EnrichedEvent]) -> object: ...

    def documents(self) -> list[Document]:
        """Whole documents that were changed since the last `committed`."""

    def committed(self) -> None: ...


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
        duplicates: int | None = None,
        danger: Danger | None = None,
    ) -> None:
        """`duplicates`: what the partition had acknowledged without storing at the checkpoint; None: not known.

        `danger` watches what is done to events.
        """
        self._danger = danger or Danger()
        self._database = database
        self._partition = partition
        self._consumers = consumers
        self._live = live
        self._clock = clock
        self._duplicates = duplicates
        self._views = self._new_views()

    def _new_views(self) -> dict[str, View]:
        """Empty views, by the collection that stores them."""
        return {
            "minutes": LiveBuckets(
                self._partition, max_keys=self._live.max_keys, late_minutes=self._consumers.late_minutes
            ),
            "feed": LiveFeed(self._partition, self._live.feed_events),
        }

    async def apply(self, transformed: Transformed) -> Change:
        """Fold a range and give what has to be written for it.

        An event that cannot be folded becomes a dead letter; nothing of it stays in the views.
        """
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        try:
            chunks = await self._fold(transformed, now)
        except FOLD_ERRORS:
            # Half of it may be folded: begin again from what is stored, without the events that fail by themselves.
            transformed = replace(transformed, outcomes=[self._tried(outcome) for outcome in transformed.outcomes])
            self._views = self._new_views()
            chunks = await self._fold(transformed, now)
        documents = {
            collection: [{**document, "updated_at": now} for document in view.documents()]
            for collection, view in self._views.items()
        }
        documents["dead_letters"] = dead_letters_of(transformed, self._partition, now)
        ledger = ledger_of(transformed.records, transformed.outcomes, self._duplicates)
        self._duplicates = transformed.records.parts[-1].duplicates
        return Change(documents, chunks, ledger, self._duplicates)

    def committed(self) -> None:
        """What the last `apply` gave is stored."""
        for view in self._views.values():
            view.committed()

    async def _fold(self, transformed: Transformed, now: datetime) -> list[Document]:
        """Fold the events into the views; the chunks that hold them."""
        events = enriched_only(transformed.outcomes)
        for collection, view in self._views.items():
            if missing := view.missing(events):
                view.load(await self._database[collection].find({"_id": {"$in": missing}}).to_list())
            with self._danger.watched():
                view.fold(events)
        with self._danger.watched():
            return chunk_documents(events, minutes_of(transformed), now)

    def _tried(self, outcome: Outcome) -> Outcome:
        """The outcome itself if it folds into empty views, else the failure to do so."""
        if isinstance(outcome, Failure):
            return outcome
        try:
            for view in self._new_views().values():
                view.fold([outcome])
                view.documents()
            events_to_batch([outcome])
        except Exception as error:
            return failure_of("fold", error)
        return outcome


def minutes_of(transformed: Transformed) -> list[int]:
    """The append minute of each enriched event, Unix ms."""
    minutes = zip(transformed.records.minutes(), transformed.outcomes, strict=True)
    return [minute for minute, outcome in minutes if not isinstance(outcome, Failure)]


def dead_letters_of(transformed: Transformed, partition: int, created_at: datetime) -> list[Document]:
    """A document per failed record: where and when it came, what failed and why, its bytes, the code that tried."""
    records = transformed.records
    minutes = records.minutes()
    return [
        {
            "_id": {"partition": partition, "offset": records.first_offset + index},
            "append_minute": minutes[index],
            "stage": outcome.stage,
            "reason": outcome.reason.value,
            "detail": outcome.detail[:MAX_DETAIL_CHARS],
            "payload": records.payloads[index],
            "code_version": code_version(),
            "created_at": created_at,
        }
        for index, outcome in enumerate(transformed.outcomes)
        if isinstance(outcome, Failure)
    ]


@cache
def code_version() -> str:
    """The installed version of piStats."""
    return metadata.version("pistats")

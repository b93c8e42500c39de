"""The open minutes of one partition, in memory, and the documents that store them."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pistats.enrich.event import EnrichedEvent
from pistats.live.bucket import MINUTE_MS, Key, MinuteBucket

MAX_LATENESS_MS = 24 * 3_600_000
"""Events that reach the server later than this after they happened are history, not live: they touch no minute.
By the event's own times, so a replay decides the same."""


class LiveBuckets:
    """Folds the events of one partition into minutes; gives whole documents of what a fold touched.

    One owner, one thread. The cycle of a flush:

        load(documents found for missing(events))  →  fold(events)  →  write documents()  →  committed()

    When the commit fails, `clear()`: everything is read back from what MongoDB holds, and the events are folded again.
    """

    def __init__(self, partition: int, *, max_keys: int = 200, late_minutes: int = 10) -> None:
        self._partition = partition
        self._max_keys = max_keys
        self._late_ms = late_minutes * MINUTE_MS
        self._open: dict[Key, MinuteBucket] = {}
        self._touched: set[Key] = set()
        self._newest = 0

    def missing(self, events: Iterable[EnrichedEvent]) -> list[dict[str, Any]]:
        """The `_id`s of minutes that these events touch and memory lacks: read them, then `load` what was found."""
        keys = {key for event in events if (key := key_of(event)) is not None}
        return [self._id(key) for key in sorted(keys - self._open.keys())]

    def load(self, documents: Iterable[dict[str, Any]]) -> None:
        """Takes up stored minutes. One that is in memory already stays as it is."""
        for document in documents:
            key = (document["_id"]["site"], document["_id"]["minute"])
            if key not in self._open:
                self._open[key] = MinuteBucket.from_document(document, self._max_keys)

    def fold(self, events: Sequence[EnrichedEvent]) -> set[Key]:
        """Counts the events in order; the minutes touched. Minutes that were not loaded begin empty."""
        touched: set[Key] = set()
        buckets = self._open
        for event in events:
            key = key_of(event)
            if key is None:
                continue
            bucket = buckets.get(key)
            if bucket is None:
                bucket = buckets[key] = MinuteBucket(self._max_keys)
            bucket.fold(event)
            touched.add(key)
        self._touched |= touched
        return touched

    def documents(self, touched: Collection[Key] | None = None) -> list[dict[str, Any]]:
        """Whole documents of these minutes, by default of all that were touched since the last `committed()`."""
        keys = sorted(self._touched if touched is None else touched)
        return [{"_id": self._id(key), **self._open[key].to_document()} for key in keys]

    def committed(self) -> None:
        """What was touched is stored: forgets minutes that are older than the newest one by `late_minutes`."""
        self._newest = max([self._newest, *(minute for _, minute in self._touched)])
        self._touched.clear()
        oldest = self._newest - self._late_ms
        self._open = {key: bucket for key, bucket in self._open.items() if key[1] >= oldest}

    def clear(self) -> None:
        """Forgets everything, stored or not: what is in memory may not be what MongoDB holds."""
        self._open.clear()
        self._touched.clear()
        self._newest = 0

    def _id(self, key: Key) -> dict[str, Any]:
        return {"site": key[0], "minute": key[1], "partition": self._partition}


def key_of(event: EnrichedEvent) -> Key | None:
    """The minute that an event counts in; None when it came too late for the live numbers."""
    event_time: int = event["event_time"]
    if event["received_time"] - event_time > MAX_LATENESS_MS:
        return None
    return event["site"], event_time - event_time % MINUTE_MS

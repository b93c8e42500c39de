"""The last minutes of one site, merged from the documents of all partitions as they arrive."""

import heapq
from collections.abc import Iterator
from typing import Any

from datasketches import hll_sketch, hll_union

from pistats.live.bucket import DIMENSIONS, MINUTE_MS, OTHER, SLOT_MS, SLOTS, TOPICS
from pistats.live.sketch import LG_K, estimate, load_sketch, merged
from pistats.live.trending import BASELINE_MINUTES, HOUR_MINUTES, WEEK_MS, WINDOW_MINUTES, MinuteTopics, Trend, trending

SHOWN_MINUTES = 30
HELD_MINUTES = SHOWN_MINUTES + 1
"""Minutes held whole: the shown ones, and the one that "in the last 30 minutes" reaches into."""

TREND_MINUTES = WINDOW_MINUTES + BASELINE_MINUTES
"""Minutes of which the totals and the topics' counts are held."""

AHEAD_MINUTES = 90
"""How much of last week is held beyond this hour: readers that fetch it once an hour always have it."""


def ranges(minute: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last minute of what is of use at `minute`: the recent past, and the same hour a week ago."""
    week_ago = minute - WEEK_MS
    return (
        (minute - TREND_MINUTES * MINUTE_MS, minute),
        (week_ago - (HOUR_MINUTES // 2 + 1) * MINUTE_MS, week_ago + AHEAD_MINUTES * MINUTE_MS),
    )


Rows = dict[str, tuple[int, bytes]]


class StoredMinute:
    """One document of `minutes`, its sketches not yet read."""

    __slots__ = ("bots", "capped", "dims", "events", "full", "slots", "views")

    def __init__(self, document: dict[str, Any]) -> None:
        self.events: int = document["events"]
        self.views: int = document["views"]
        self.bots: int = document["bots"]
        self.slots: list[bytes | None] = document["slots"]
        self.dims: dict[str, Rows] = {
            dimension: {value: (count, data) for value, count, data in rows}
            for dimension, rows in document["dims"].items()
        }
        self.capped: list[str] = document["capped"]
        self.full: bool = document["full"]


class MinuteVisitors:
    """The visitors of one minute over all partitions, per slot and in all."""

    __slots__ = ("count", "slots", "whole")

    def __init__(self, minutes: list[StoredMinute]) -> None:
        self.slots = [_union([stored.slots[index] for stored in minutes]) for index in range(SLOTS)]
        self.whole = merged(slot for slot in self.slots if slot is not None)
        self.count = estimate(self.whole)


class SiteWindow:
    """Everything the live page shows of one site. Numbers depend on the documents and on `now_ms`, not on their order.

    Counts per value are kept up to date with every document and every minute that leaves the window, so a snapshot
    only ranks them. Visitors of a value are merged when it is shown, and kept while the window stands still.
    """

    def __init__(self) -> None:
        self._minutes: dict[int, dict[int, StoredMinute]] = {}
        self._topics: dict[int, dict[int, MinuteTopics]] = {}
        self._start = 0
        self._counts: dict[str, dict[str, int]] = {dimension: {} for dimension in DIMENSIONS}
        self._row_visitors: dict[tuple[str, str], hll_union] = {}
        self._minute_visitors: dict[int, MinuteVisitors] = {}
        self._trends: tuple[int, list[Trend]] | None = None

    def apply(self, minute: int, partition: int, stored: StoredMinute) -> None:
        """Replaces what is known of this minute and partition."""
        self.apply_topics(minute, partition, stored)
        partitions = self._minutes.setdefault(minute, {})
        before = partitions.get(partition)
        partitions[partition] = stored
        self._minute_visitors.pop(minute, None)
        if minute < self._start:
            return
        if before is not None:
            self._count(before, -1)
        self._count(stored, 1)
        self._follow(before, stored)

    def apply_topics(self, minute: int, partition: int, stored: StoredMinute) -> None:
        """Takes up what trending needs, and nothing else: for minutes that are not shown any more."""
        topics = {value: count for value, (count, _) in stored.dims.get(TOPICS, {}).items() if value != OTHER}
        self._topics.setdefault(minute, {})[partition] = MinuteTopics(stored.events, topics)
        self._trends = None

    def _follow(self, before: StoredMinute | None, stored: StoredMinute) -> None:
        """Brings the merged visitors of shown values up to date: a newer document only ever has more of them."""
        if before is not None and before.events + before.bots > stored.events + stored.bots:
            self._row_visitors.clear()
            return
        for (dimension, value), union in self._row_visitors.items():
            row = stored.dims.get(dimension, {}).get(value)
            if row is not None:
                union.update(load_sketch(row[1]))

    def _count(self, stored: StoredMinute, sign: int) -> None:
        for dimension, rows in stored.dims.items():
            counts = self._counts.setdefault(dimension, {})
            for value, (count, _) in rows.items():
                total = counts.get(value, 0) + sign * count
                if total:
                    counts[value] = total
                else:
                    counts.pop(value, None)

    def move(self, now_ms: int) -> None:
        """Lets the window end at the minute of `now_ms`."""
        start = now_ms - now_ms % MINUTE_MS - (SHOWN_MINUTES - 1) * MINUTE_MS
        if start == self._start:
            return
        low, high = min(start, self._start), max(start, self._start)
        sign = -1 if start > self._start else 1
        for minute, partitions in self._minutes.items():
            if low <= minute < high:
                for stored in partitions.values():
                    self._count(stored, sign)
        self._start = start
        self._row_visitors.clear()

    def forget(self, newest_minute: int) -> None:
        """Drops what no snapshot at or after this minute shows."""
        self.move(max(self._start + (SHOWN_MINUTES - 1) * MINUTE_MS, newest_minute))
        held = newest_minute - HELD_MINUTES * MINUTE_MS
        for minute in [minute for minute in self._minutes if minute < held]:
            del self._minutes[minute]
            self._minute_visitors.pop(minute, None)
        (recent, _), (from_week, to_week) = ranges(newest_minute)
        gone = [minute for minute in self._topics if minute < recent and not from_week <= minute <= to_week]
        for minute in gone:
            del self._topics[minute]

    def totals(self, minute: int) -> tuple[int, int]:
        """Views and distinct visitors of a minute."""
        partitions = self._minutes.get(minute)
        if not partitions:
            return 0, 0
        return sum(stored.views for stored in partitions.values()), self._visitors(minute).count

    def visitors_since(self, since_ms: int) -> int:
        """Distinct visitors of every ten-second slot that ends after `since_ms`."""
        return estimate(merged(self._sketches_since(since_ms)))

    def _sketches_since(self, since_ms: int) -> Iterator[hll_sketch]:
        for minute in self._minutes:
            if minute >= since_ms:
                yield self._visitors(minute).whole
            elif minute + MINUTE_MS > since_ms:
                for index, slot in enumerate(self._visitors(minute).slots):
                    if slot is not None and minute + (index + 1) * SLOT_MS > since_ms:
                        yield slot

    def _visitors(self, minute: int) -> MinuteVisitors:
        visitors = self._minute_visitors.get(minute)
        if visitors is None:
            visitors = self._minute_visitors[minute] = MinuteVisitors(list(self._minutes[minute].values()))
        return visitors

    def top(self, dimension: str, rows: int) -> list[tuple[str, int, int]]:
        """Values with the highest counts, with count and distinct visitors; `(other)` last, beyond `rows`."""
        counts = self._counts.get(dimension, {})
        others = counts.get(OTHER)
        floor = heapq.nlargest(rows + 1, counts.values())[-1:] or [0]
        ranked = sorted(
            ((value, count) for value, count in counts.items() if count >= floor[0] and value != OTHER),
            key=lambda row: (-row[1], row[0]),
        )[:rows]
        if others:
            ranked.append((OTHER, others))
        return [(value, count, self._row_count(dimension, value)) for value, count in ranked]

    def _row_count(self, dimension: str, value: str) -> int:
        union = self._row_visitors.get((dimension, value))
        if union is None:
            union = self._row_visitors[dimension, value] = self._row_union(dimension, value, self._start)
        return estimate(union)

    def _row_union(self, dimension: str, value: str, start: int) -> hll_union:
        union = hll_union(LG_K)
        for minute, partitions in self._minutes.items():
            if minute >= start:
                for stored in partitions.values():
                    row = stored.dims.get(dimension, {}).get(value)
                    if row is not None:
                        union.update(load_sketch(row[1]))
        return union

    def trends(self, now_ms: int) -> list[Trend]:
        """Trending topics, worked out once per slot and change."""
        slot = now_ms - now_ms % SLOT_MS
        if self._trends is None or self._trends[0] != slot:
            start = now_ms - now_ms % MINUTE_MS - (WINDOW_MINUTES - 1) * MINUTE_MS
            minutes = {minute: _sum(partitions.values()) for minute, partitions in self._topics.items()}
            self._trends = slot, trending(minutes, slot, lambda topic: estimate(self._row_union(TOPICS, topic, start)))
        return self._trends[1]

    def capped(self) -> list[str]:
        """Dimensions in which some shown minute had more values than its cap."""
        return sorted({dimension for stored in self._shown() for dimension in stored.capped})

    def full(self) -> bool:
        """True when some shown minute stopped counting the visitors of its rarer values."""
        return any(stored.full for stored in self._shown())

    def bots(self) -> int:
        """Events of bots in the shown minutes: counted, and in none of the other numbers."""
        return sum(stored.bots for stored in self._shown())

    def _shown(self) -> Iterator[StoredMinute]:
        for minute, partitions in self._minutes.items():
            if minute >= self._start:
                yield from partitions.values()


def _union(data: list[bytes | None]) -> hll_sketch | None:
    sketches = [load_sketch(item) for item in data if item is not None]
    return merged(sketches) if sketches else None


def _sum(partitions: Any) -> MinuteTopics:
    topics: dict[str, int] = {}
    events = 0
    for seen in partitions:
        events += seen.events
        for topic, count in seen.topics.items():
            topics[topic] = topics.get(topic, 0) + count
    return MinuteTopics(events, topics)

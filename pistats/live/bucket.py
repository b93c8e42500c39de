"""One minute of one site in one partition: a mergeable value, stored as one document of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from datasketches import hll_sketch

from pistats.enrich.event import EnrichedEvent
from pistats.enrich.session import PAGE_VIEW, SILENT
from pistats.live.sketch import (
    LG_K,
    ROW_LG_K,
    ROW_SKETCH_BYTES,
    dump_sketch,
    estimate,
    load_sketch,
    merged,
    new_sketch,
    visitor_hash,
)

MINUTE_MS = 60_000
SLOT_MS = 10_000
SLOTS = MINUTE_MS // SLOT_MS
"""A minute's visitors are kept per ten seconds, so that "in the last five minutes" is right to ten seconds."""

OTHER = "(other)"
"""Stands for every value beyond the cap of its dimension."""

DIRECT = "Direct"
"""The source of an arrival that came from nowhere known."""

MAX_VALUE_BYTES = 200
"""Longer values are cut: they are labels, and they come from strangers."""

MAX_DETAIL_BYTES = 170_000
"""Rows may fill a document up to this; with the six sketches of the minute it stays below 200 KB."""

ROW_OVERHEAD_BYTES = 36
"""Array keys, lengths and types of one row in BSON."""

_ROOM_FOR_OTHERS_BYTES = 10 * (ROW_SKETCH_BYTES + 64)
"""Each of the ten dimensions may still open its `(other)` row when the document is full."""

PAGES, ENTRY_PAGES, SECTIONS = "pages", "entry_pages", "sections"
SOURCES, CHANNELS = "sources", "channels"
COUNTRIES, DEVICES, BROWSERS = "countries", "devices", "browsers"
EVENTS, TOPICS = "events", "topics"
DIMENSIONS = (PAGES, ENTRY_PAGES, SECTIONS, SOURCES, CHANNELS, COUNTRIES, DEVICES, BROWSERS, EVENTS, TOPICS)
"""What a bucket counts by. Page views, except `events` (custom events) and `topics` (both)."""


@dataclass(slots=True)
class Row:
    """How often one value was seen, and by whom."""

    count: int
    visitors: hll_sketch


Key = tuple[str, int]
"""Site and the minute's first millisecond."""


class MinuteBucket:
    """Counts of one site's minute, and sketches of its visitors.

    `merge` is associative and commutative, an empty bucket is its identity.

    Bots are counted in `bots` and nowhere else. Which values fall to `(other)` depends on the order of events within
    a partition and on nothing else: any split of that order into folds gives the same bucket.
    """

    __slots__ = ("_bytes", "bots", "capped", "dims", "events", "full", "max_keys", "slots", "views")

    def __init__(self, max_keys: int = 200) -> None:
        self.max_keys = max_keys
        self.events = 0
        self.views = 0
        self.bots = 0
        self.slots: list[hll_sketch | None] = [None] * SLOTS
        self.dims: dict[str, dict[str, Row]] = {}
        self.capped: set[str] = set()
        self.full = False
        self._bytes = _ROOM_FOR_OTHERS_BYTES

    def fold(self, event: EnrichedEvent) -> None:
        """Counts one event of this minute."""
        if event["is_bot"]:
            self.bots += 1
            return
        self.events += 1
        visitor = visitor_hash(event["visitor_id"])
        index = event["event_time"] % MINUTE_MS // SLOT_MS
        slot = self.slots[index]
        if slot is None:
            slot = self.slots[index] = new_sketch()
        slot.update(visitor)
        name = event["name"]
        if name == PAGE_VIEW:
            self._fold_view(event, visitor)
        elif name in SILENT:
            return
        else:
            self._count(EVENTS, name, visitor)
        properties = event["properties"]
        topic = properties.get("topic") if properties else None
        if topic and type(topic) is str:
            self._count(TOPICS, topic, visitor)

    def _fold_view(self, event: EnrichedEvent, visitor: int) -> None:
        self.views += 1
        count = self._count
        path = event["path"]
        count(PAGES, path, visitor)
        count(SECTIONS, event["section"], visitor)
        count(COUNTRIES, event["country"], visitor)
        count(DEVICES, event["device"], visitor)
        count(BROWSERS, event["browser"], visitor)
        channel = event["channel"]
        if channel is not None:  # an arrival, not a step within the site
            count(ENTRY_PAGES, path, visitor)
            count(SOURCES, event["source"] or (DIRECT if channel == DIRECT else None), visitor)
            count(CHANNELS, channel, visitor)

    def _count(self, dimension: str, value: str | None, visitor: int) -> None:
        """One more of this value by this visitor; unknown values are not counted."""
        if value is None:
            return
        rows = self.dims.get(dimension)
        if rows is None:
            rows = self.dims[dimension] = {}
        row = rows.get(value)
        if row is None:
            row = self._row(dimension, rows, value)
        row.count += 1
        if self._bytes < MAX_DETAIL_BYTES:
            if row.count <= _GROWING:
                self._bytes += 4
            row.visitors.update(visitor)
        elif row.visitors.get_estimate() > _EXACT_UP_TO:  # has its full size: updates are free
            row.visitors.update(visitor)
        else:
            self.full = True

    def _row(self, dimension: str, rows: dict[str, Row], value: str) -> Row:
        """The row of a value not seen under this spelling; `(other)` when the dimension or the document is full."""
        value = _cut(value)
        if value in rows:
            return rows[value]
        if len(rows) >= self.max_keys or self._bytes >= MAX_DETAIL_BYTES:
            self.capped.add(dimension)
            if OTHER in rows:
                return rows[OTHER]
            value = OTHER
        self._bytes += _size(value, 0)
        row = rows[value] = Row(0, new_sketch(ROW_LG_K))
        return row

    @property
    def visitors(self) -> int:
        """Distinct visitors of the minute."""
        return estimate(merged(slot for slot in self.slots if slot is not None))

    def merge(self, other: "MinuteBucket") -> "MinuteBucket":
        """A new bucket of both. Nothing is cut: the result may hold more values than the cap of each."""
        both = MinuteBucket(max(self.max_keys, other.max_keys))
        both.events = self.events + other.events
        both.views = self.views + other.views
        both.bots = self.bots + other.bots
        both.slots = [_both(mine, theirs, LG_K) for mine, theirs in zip(self.slots, other.slots, strict=True)]
        both.capped = self.capped | other.capped
        both.full = self.full or other.full
        for dimension in self.dims.keys() | other.dims.keys():
            both.dims[dimension] = _merge_rows(self.dims.get(dimension, {}), other.dims.get(dimension, {}))
        both._bytes = both._measured()
        return both

    def numbers(self) -> dict[str, Any]:
        """What the bucket says, in whatever order it was told: equal for equal events, as far as sketches are exact."""
        return {
            "events": self.events,
            "views": self.views,
            "bots": self.bots,
            "slots": [0 if slot is None else estimate(slot) for slot in self.slots],
            "dims": {
                dimension: {value: (row.count, estimate(row.visitors)) for value, row in rows.items()}
                for dimension, rows in self.dims.items()
            },
            "capped": self.capped,
            "full": self.full,
        }

    def to_document(self) -> dict[str, Any]:
        """Plain values for MongoDB. Values of events are never keys: a path may hold dots and dollars."""
        return {
            "events": self.events,
            "views": self.views,
            "bots": self.bots,
            "slots": [None if slot is None else dump_sketch(slot) for slot in self.slots],
            "dims": {
                dimension: [[value, row.count, dump_sketch(row.visitors)] for value, row in rows.items()]
                for dimension, rows in self.dims.items()
            },
            "capped": sorted(self.capped),
            "full": self.full,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any], max_keys: int = 200) -> "MinuteBucket":
        """What `to_document` wrote: with the same numbers, and the same future."""
        bucket = cls(max_keys)
        bucket.events = document["events"]
        bucket.views = document["views"]
        bucket.bots = document["bots"]
        bucket.slots = [None if data is None else load_sketch(data) for data in document["slots"]]
        bucket.dims = {
            dimension: {value: Row(count, load_sketch(data)) for value, count, data in rows}
            for dimension, rows in document["dims"].items()
        }
        bucket.capped = set(document["capped"])
        bucket.full = document["full"]
        bucket._bytes = bucket._measured()
        return bucket

    def _measured(self) -> int:
        """The bound on the rows' bytes, from the rows alone: the same number that folding arrives at."""
        return _ROOM_FOR_OTHERS_BYTES + sum(_size(value, row.count) for value, row in self._rows())

    def _rows(self) -> Iterator[tuple[str, Row]]:
        for rows in self.dims.values():
            yield from rows.items()


_GROWING = (ROW_SKETCH_BYTES - 12) // 4
"""From this count on the bound on a row's bytes holds a sketch of full size."""

_EXACT_UP_TO = 96.5
"""A row's sketch that estimates more is no list any more: it has its full size."""


def _size(value: str, count: int) -> int:
    """An upper bound on the bytes of a row that was counted so often."""
    return ROW_OVERHEAD_BYTES + 12 + len(value.encode("utf-8", "replace")) + 4 * min(count, _GROWING)


def _cut(value: str) -> str:
    """At most `MAX_VALUE_BYTES` of UTF-8, whole characters, nothing that MongoDB refuses."""
    if len(value) * 4 <= MAX_VALUE_BYTES and value.isascii():
        return value
    return value.encode("utf-8", "replace")[:MAX_VALUE_BYTES].decode("utf-8", "ignore")


def _both(mine: hll_sketch | None, theirs: hll_sketch | None, lg_k: int) -> hll_sketch | None:
    present = [sketch for sketch in (mine, theirs) if sketch is not None]
    return merged(present, lg_k) if present else None


def _merge_rows(mine: dict[str, Row], theirs: dict[str, Row]) -> dict[str, Row]:
    rows = {value: Row(row.count, merged([row.visitors], ROW_LG_K)) for value, row in mine.items()}
    for value, row in theirs.items():
        known = rows.get(value)
        if known is None:
            rows[value] = Row(row.count, merged([row.visitors], ROW_LG_K))
        else:
            rows[value] = Row(known.count + row.count, merged([known.visitors, row.visitors], ROW_LG_K))
    return rows

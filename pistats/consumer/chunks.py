"""The outbox: what a flush leaves for the archive, as documents of `chunks`, each below MongoDB's limit.

A document: `_id` {partition, first_offset} of its first event, `end_offset` (behind its last), `events`, `schema`,
`sites`, `min_event_time`, `max_event_time`, `minutes` ([append minute, events] in order), `data`, `created_at`.

Chunks of a partition never overlap, and what lies between two of them became no event: dead letters, erased events.
A dead letter's offset is therefore free, for the day on which it is replayed.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from bson import Binary

from pistats.enrich import EnrichedEvent
from pistats.warehouse.chunk import SCHEMA_VERSION, encode_chunk, events_to_batch

MAX_DATA_BYTES = 12_000_000
"""Of one chunk: MongoDB takes documents up to 16 MiB. A flush of common events has some 0.4 MB; only long texts that
do not compress come here."""


def chunk_documents(
    events: Sequence[EnrichedEvent],
    minutes: Sequence[int],
    created_at: datetime,
    max_data_bytes: int = MAX_DATA_BYTES,
) -> list[dict[str, Any]]:
    """Every event once, in order, in as few documents as the limit allows. No event, no document.

    `minutes`: the append minute of each event, Unix ms. Raises what pyarrow raises for a value of the wrong type.
    """
    if not events:
        return []
    data = encode_chunk(events_to_batch(events))
    if len(data) > max_data_bytes and len(events) > 1:
        half = len(events) // 2
        return [
            *chunk_documents(events[:half], minutes[:half], created_at, max_data_bytes),
            *chunk_documents(events[half:], minutes[half:], created_at, max_data_bytes),
        ]
    times = [event["event_time"] for event in events]
    first, last = events[0], events[-1]
    return [
        {
            "_id": {"partition": first["partition"], "first_offset": first["offset"]},
            "end_offset": last["offset"] + 1,
            "events": len(events),
            "schema": SCHEMA_VERSION,
            "sites": sorted({event["site"] for event in events}),
            "min_event_time": min(times),
            "max_event_time": max(times),
            "minutes": [[minute, len(list(same))] for minute, same in groupby(minutes)],
            "data": Binary(data),
            "created_at": created_at,
        }
    ]

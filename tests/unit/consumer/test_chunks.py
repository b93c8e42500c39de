"""The outbox's documents: every event once, in order, none too large for MongoDB."""

from datetime import UTC, datetime
from random import Random
from typing import Any

import bson

from pistats.consumer.chunks import chunk_documents
from pistats.enrich.event import FIELDS
from pistats.warehouse.chunk import decode_chunk

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def event(offset: int, **fields: Any) -> dict[str, Any]:
    known = {"partition": 1, "offset": offset, "site": "news", "event_time": 1_000 + offset, "is_bot": False}
    return {**dict.fromkeys(FIELDS), **known, **fields}


def test_a_chunk_says_what_it_holds() -> None:
    events = [event(7), event(9, site="blog", is_bot=True), event(10, event_time=5)]

    (chunk,) = chunk_documents(events, [0, 60_000, 60_000], NOW)

    assert chunk["_id"] == {"partition": 1, "first_offset": 7}
    assert (chunk["end_offset"], chunk["events"], chunk["sites"]) == (11, 3, ["blog", "news"])
    assert (chunk["min_event_time"], chunk["max_event_time"]) == (5, 1_009)
    assert chunk["minutes"] == [[0, 1], [60_000, 2]]
    assert decode_chunk(chunk["data"], chunk["schema"]).to_pylist() == events


def test_no_event_no_chunk() -> None:
    assert chunk_documents([], [], NOW) == []


def test_what_does_not_fit_into_one_document_is_split() -> None:
    random = Random(1)
    events = [event(offset, title=random.randbytes(1_500).hex()) for offset in range(50)]

    chunks = chunk_documents(events, [0] * 20 + [60_000] * 30, NOW, max_data_bytes=20_000)

    assert len(chunks) > 1
    assert all(len(bson.encode(chunk)) < 21_000 for chunk in chunks)
    assert [row for chunk in chunks for row in decode_chunk(chunk["data"]).to_pylist()] == events
    assert sum(count for chunk in chunks for _, count in chunk["minutes"]) == 50

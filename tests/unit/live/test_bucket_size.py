"""A minute's document stays small whatever strangers send, and says so when it had to leave something out."""

from typing import Any

import bson
import pytest

from pistats.live import LiveBuckets, LiveView, MinuteBucket
from pistats.live.bucket import DIMENSIONS, OTHER, PAGES
from tests.table_events import an_event

MINUTE = 1_764_000_000_000 // 60_000 * 60_000
LIMIT_BYTES = 200_000
EVENTS = 25_000


def event(**changes: Any) -> dict[str, Any]:
    return an_event(0, **{"event_time": MINUTE, "received_time": MINUTE, "path": "/", **changes})


def hostile(number: int, length: int) -> dict[str, Any]:
    text = f"{number % 5_000}".ljust(length, "ü")
    names = ("path", "section", "source", "channel", "country", "device", "browser")
    return event(
        event_time=MINUTE + number % 60_000,
        visitor_id=str(number),
        properties={"topic": text},
        **dict.fromkeys(names, text),
    )


def size(bucket: MinuteBucket) -> int:
    return len(bson.encode({"_id": {"site": "x" * 64, "minute": MINUTE, "partition": 63}, **bucket.to_document()}))


@pytest.mark.parametrize("length", [1, 40, 2_000])
@pytest.mark.parametrize("max_keys", [200, 500])
def test_no_flood_makes_a_large_document(length: int, max_keys: int) -> None:
    bucket = MinuteBucket(max_keys)

    for number in range(EVENTS):
        bucket.fold(hostile(number, length))

    assert size(bucket) < LIMIT_BYTES
    assert set(bucket.capped) <= set(DIMENSIONS)
    assert OTHER in bucket.dims[PAGES]
    assert sum(row.count for row in bucket.dims[PAGES].values()) == bucket.views == EVENTS


def test_a_quiet_minute_is_a_few_kilobytes() -> None:
    bucket = MinuteBucket()
    for number in range(60):
        bucket.fold(event(visitor_id=str(number % 30), path=f"/sport/{number % 20}", country="DE", device="mobile"))

    assert size(bucket) < 5_000


def test_busy_pages_keep_exact_counts_when_the_document_is_full() -> None:
    bucket = MinuteBucket()
    for number in range(15_000):
        bucket.fold(hostile(number, 100))
        bucket.fold(event(path="/front", visitor_id=str(number % 50)))

    assert bucket.dims[PAGES]["/front"].count == 15_000
    assert bucket.full


def test_a_flood_of_paths_is_seen_by_the_reader() -> None:
    buckets = LiveBuckets(0, max_keys=10)
    buckets.fold([event(path=f"/{number}") for number in range(50)])
    view = LiveView()
    for document in buckets.documents():
        view.apply("minutes", document)

    snapshot = view.snapshot("news", MINUTE)

    assert snapshot["top_pages"][-1] == {"path": OTHER, "views": 40, "visitors": 1}
    assert sum(row["views"] for row in snapshot["top_pages"]) == 50
    assert any("pages" in warning for warning in snapshot["warnings"])

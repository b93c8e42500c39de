"""Events, chunks and files for tests of the warehouse, and every event that a reader sees."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from pistats.consumer.chunks import chunk_documents
from pistats.enrich.event import FIELDS
from pistats.warehouse.source import COLUMNS, EventSet

SITE = "news.example"
DAY_MS = 86_400_000
NOON = 1_764_072_000_000
"""2025-11-25T12:00:00Z."""

ArchiveEvents = Callable[[Sequence[dict[str, Any]]], Awaitable[None]]
"""What the fixture `archive` of the warehouse's contract tests is."""


class DeathError(BaseException):
    """Ends what runs, as the end of its process would: nothing that catches errors catches it."""


def an_event(number: int = 0, **fields: Any) -> dict[str, Any]:
    """A whole enriched event; every number is another event of one of seven visitors, a second later."""
    return {
        **dict.fromkeys(FIELDS),
        "site": SITE,
        "partition": 0,
        "offset": number,
        "event_id": f"{number:032x}",
        "name": "page_view",
        "visitor_id": f"visitor-{number % 7}",
        "received_time": NOON + number * 1_000,
        "event_time": NOON + number * 1_000,
        "is_bot": False,
        **fields,
    }


def some_events(count: int, first: int = 0, **fields: Any) -> list[dict[str, Any]]:
    return [an_event(number, **fields) for number in range(first, first + count)]


def chunk_document(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a consumer commits for these events of one partition."""
    minutes = [event["received_time"] // 60_000 * 60_000 for event in events]
    created_at = datetime.fromtimestamp(events[0]["received_time"] / 1000, UTC)
    (document,) = chunk_documents(events, minutes, created_at)
    return document


def read_all(events: EventSet) -> list[dict[str, Any]]:
    """Every event of the set as its view gives it, by offset."""
    with duckdb.connect() as connection:
        events.register(connection)
        rows = connection.sql('SELECT * FROM events ORDER BY partition, "offset"').to_arrow_table()
    assert tuple(rows.column_names) == COLUMNS
    found: list[dict[str, Any]] = rows.to_pylist()
    return found


def offsets(events: EventSet) -> list[int]:
    return [event["offset"] for event in read_all(events)]


def files_on_disk(root: str) -> set[str]:
    """Every Parquet file below the warehouse's root, listed or not."""
    return {str(path.relative_to(root)) for path in Path(root).rglob("*.parquet")}

"""Events of a test as the warehouse gives them to a query: from one table in memory instead of files and chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from pistats.enrich.event import FIELDS
from pistats.identity import bucket_of
from pistats.sites import Site
from pistats.warehouse.chunk import events_to_batch

SITE = "news"


def a_site(timezone: str = "UTC", name: str = SITE) -> Site:
    """A site in this time zone."""
    return Site(name, timezone, "", "", (), True, 0)


def an_event(number: int, **fields: Any) -> dict[str, Any]:
    """One enriched event, a page view of visitor v by default. Its number is its offset and its event id."""
    return {
        **dict.fromkeys(FIELDS),
        "site": SITE,
        "partition": 0,
        "offset": number,
        "event_id": f"e{number:05}",
        "name": "page_view",
        "visitor_id": "v",
        "is_bot": False,
        "received_time": fields.get("event_time", 0),
        **fields,
    }


@dataclass(frozen=True)
class TableEvents:
    """What an `EventSet` is for a query."""

    table: pa.Table
    complete_through: int | None = None
    files: tuple[str, ...] = ()

    @property
    def waiting(self) -> pa.Table:
        return self.table

    def register(self, connection: duckdb.DuckDBPyConnection, name: str = "events") -> None:
        connection.register(name, self.table)


class TableSource:
    """What an `EventSource` is for reports. `asked` are the ranges that were asked for."""

    def __init__(self, events: Sequence[dict[str, Any]], complete_through: int | None = None) -> None:
        self.events_there = list(events)
        self.complete_through = complete_through
        self.asked: list[tuple[int, int]] = []

    async def events(self, site: str, from_ms: int, to_ms: int) -> TableEvents:
        self.asked.append((from_ms, to_ms))
        found = [one for one in self.events_there if one["site"] == site and from_ms <= one["event_time"] < to_ms]
        return TableEvents(table_of(found), self.complete_through)


def table_of(events: Sequence[dict[str, Any]]) -> pa.Table:
    """The events as the columns that the warehouse has."""
    buckets = pa.array([bucket_of(one["site"], one["visitor_id"]) for one in events], pa.uint8())
    return pa.Table.from_batches([events_to_batch(events)]).append_column("bucket", buckets)

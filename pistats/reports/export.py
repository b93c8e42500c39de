"""All events of a range, for a file: day by day, and large days bucket by bucket, so that memory stays small.

A visitor's events are in one bucket, so the sessions of a slice are whole.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pistats.enrich.event import EnrichedEvent
from pistats.reports.events import complete_events
from pistats.reports.history import check_range
from pistats.settings import BUCKETS
from pistats.sites import Site
from pistats.warehouse.engine import Connection, QueryEngine, Source
from pistats.warehouse.periods import SiteDays
from pistats.warehouse.sessions import MARGIN_MS

SLICE_EVENTS = 50_000
"""Held at once: some 150 MB as Python objects. A bucket is never cut, so a slice of a huge one is larger."""


@dataclass(frozen=True, slots=True)
class ExportSlice:
    """Some events of one day, in event time."""

    day: date
    events: Sequence[EnrichedEvent]
    last_of_day: bool


class Export:
    """Gives every event once: all of `FIELDS`, bots too, sessions and their pages as the warehouse knows them."""

    def __init__(self, source: Source, engine: QueryEngine, slice_events: int = SLICE_EVENTS) -> None:
        self._source = source
        self._engine = engine
        self._slice_events = slice_events

    async def slices(self, site: Site, from_date: date, to_date: date) -> AsyncIterator[ExportSlice]:
        """The events of the days in the site's zone, both inclusive. A day is as it was at one moment.

        Raises QueryError when `to_date` is before `from_date`, and what the engine raises.
        """
        check_range(from_date, to_date)
        for number in range((to_date - from_date).days + 1):
            day = from_date + timedelta(days=number)
            async for found in self._day(site, day):
                yield found

    async def _day(self, site: Site, day: date) -> AsyncIterator[ExportSlice]:
        days = SiteDays(site.timezone, day, day)
        events = await self._source.events(site.name, days.from_ms - MARGIN_MS, days.to_ms + MARGIN_MS)
        within = days.within_sql("event_time")

        def count(connection: Connection) -> list[tuple[int, int]]:
            return connection.execute(
                f"SELECT bucket, count(*) FROM events WHERE {within} GROUP BY bucket ORDER BY bucket"
            ).fetchall()

        ranges = bucket_ranges(await self._engine.call(events, count), self._slice_events)
        for lo, hi in ranges:

            def read(connection: Connection, lo: int = lo, hi: int = hi) -> list[EnrichedEvent]:
                connection.execute(
                    f"CREATE TEMP TABLE page AS FROM events WHERE {within} AND bucket BETWEEN {int(lo)} AND {int(hi)}"
                )
                return complete_events(connection, site.name, "page")

            found = await self._engine.call(events, read)
            yield ExportSlice(day, found, last_of_day=(lo, hi) == ranges[-1])
        if not ranges:
            yield ExportSlice(day, (), last_of_day=True)


def bucket_ranges(counts: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """Ranges of buckets (both ends included) that together hold them all, with at most `most` events where possible."""
    ranges: list[tuple[int, int]] = []
    held = 0
    for bucket, count in counts:
        if ranges and held + count <= most:
            ranges[-1] = (ranges[-1][0], bucket)
            held += count
        else:
            ranges.append((bucket, bucket))
            held = count
    return [(0, BUCKETS - 1)] if len(ranges) == 1 else ranges

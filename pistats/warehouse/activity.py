"""On which days each visitor was there, ever: from the rollups of days that hold, and from events for the other days.

So the first event ever is known also when the raw events of that day are gone.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from pistats.warehouse.engine import Connection, Events, FoundEvents, Source
from pistats.warehouse.periods import SiteDays, day_of_ms
from pistats.warehouse.rollup_files import RollupStore, file_dates, open_parquet
from pistats.warehouse.storage import Storage

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Activity:
    """Files of visitors by day, and ranges of days to look up in events. Every day is in one of them at most."""

    events: Events
    files: tuple[str, ...]
    ranges: tuple[SiteDays, ...]
    storage: Storage
    first: date | None = None
    """The first day that may have an event; None: there is none."""

    def relation(self, connection: Connection) -> str:
        """A relation of (bucket, visitor_id, day): at least one row for each visitor and day, the day since 1970-01-01.

        The connection has the view `events`.
        """
        parts = []
        if self.files:
            open_parquet(connection, self.storage, self.files, "visitor_days")
            parts.append("SELECT bucket, visitor_id, day FROM visitor_days")
        parts += [
            f"SELECT bucket, visitor_id, {days.period_sql('day', 'event_time')} AS day FROM events"
            f" WHERE NOT is_bot AND {days.within_sql('event_time')}"
            for days in self.ranges
        ]
        nothing = "SELECT bucket, visitor_id, 0::BIGINT AS day FROM events WHERE false"
        return f"({' UNION ALL '.join(parts) or nothing})"


async def activity_until(
    source: Source, store: RollupStore, storage: Storage, site: str, timezone: str, last: date
) -> tuple[Activity, FoundEvents]:
    """Everybody's days from the first event ever to `last`; and the events, for what else is to be known of them."""
    events = await source.events(site, 0, SiteDays(timezone, last, last).to_ms + DAY_MS)
    first = await _first_day(store, site, timezone, events)
    if first is None or first > last:
        return Activity(events, (), (), storage), events
    state = await store.days(site, timezone, first, last, events)
    files = tuple(one.visitors_path for one in state.counted.values() if one.visitors_path is not None)
    ranges = tuple(SiteDays(timezone, first, end) for first, end in runs_of(state.uncounted))
    return Activity(events, files, ranges, storage, first), events


def runs_of(days: tuple[date, ...]) -> list[tuple[date, date]]:
    """Days, in order, as (first, last) of each run without a gap."""
    runs: list[tuple[date, date]] = []
    for day in days:
        if runs and day == runs[-1][1] + timedelta(days=1):
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs


async def _first_day(store: RollupStore, site: str, timezone: str, events: FoundEvents) -> date | None:
    """The first day that can have an event."""
    found = [date.fromisoformat(one) - timedelta(days=1) for one in file_dates(events)]
    if events.waiting is not None and events.waiting.num_rows:
        found.append(day_of_ms(timezone, min(events.waiting["event_time"].to_numpy().tolist())))
    if (rollup := await store.first_day(site)) is not None:
        found.append(rollup)
    return min(found, default=None)

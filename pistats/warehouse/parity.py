"""Whether the live numbers, the ledger and the warehouse say the same of a closed day.

The minute buckets and the ledger were counted as events came; here the same is counted from the warehouse. Two reasons
for a difference are none to worry about, and are told: visitors who were erased since, and events of live minutes that
came later than the live numbers take them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from pistats.live.fold import MAX_LATENESS_MS
from pistats.mongo.indexes import Database
from pistats.warehouse.engine import Connection, FoundEvents
from pistats.warehouse.sessions import VIEW_SQL

MINUTE_MS = 60_000

LIVE_SQL = f"""
SELECT event_time // {MINUTE_MS} * {MINUTE_MS} AS minute, count(*) FILTER (NOT is_bot) AS events,
       count(*) FILTER (NOT is_bot AND {VIEW_SQL}) AS views, count(*) FILTER (is_bot) AS bots
FROM events
WHERE "partition" >= 0 AND event_time >= $from AND event_time < $to AND received_time - event_time <= {MAX_LATENESS_MS}
GROUP BY minute
"""
"""What the minute buckets count, of events that came by the stream."""

LEDGER_SQL = """
SELECT l."partition", l.minute, count(*) AS events
FROM events AS e ASOF JOIN ledger_ranges AS l ON e."partition" = l."partition" AND e."offset" >= l.first_offset
WHERE e."offset" < l.end_offset AND e.received_time >= $from AND e.received_time < $to GROUP BY ALL
"""
"""Events of the warehouse by the ledger's row that has their offset. The times only keep old files from being read."""

RECEIVED_MS = 3_600_000
"""Between the receipt of an event and its append, or the other way round on another machine: never as much."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first number that is not the same. `place` says whose, `at` is the minute in Unix ms."""

    what: str
    place: str
    at: int
    warehouse: int
    counted: int

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.at / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
        return f"{self.place}, {at}, {self.what}: {self.warehouse:,} in the warehouse, {self.counted:,} counted"


async def live_minutes(group: Database, site: str, from_ms: int, to_ms: int) -> dict[int, tuple[int, int, int]]:
    """Events, views and bots of each minute, all partitions together."""
    found: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    wanted = {"_id.site": site, "_id.minute": {"$gte": from_ms, "$lt": to_ms}}
    async for one in group["minutes"].find(wanted, {"events": 1, "views": 1, "bots": 1}):
        sums = found[one["_id"]["minute"]]
        for at, name in enumerate(("events", "views", "bots")):
            sums[at] += one[name]
    return {minute: (sums[0], sums[1], sums[2]) for minute, sums in found.items()}


def warehouse_minutes(connection: Connection, from_ms: int, to_ms: int) -> dict[int, tuple[int, int, int]]:
    """The same from the view `events`."""
    rows = connection.execute(LIVE_SQL, {"from": from_ms, "to": to_ms}).fetchall()
    return {minute: (events, views, bots) for minute, events, views, bots in rows}


def minute_differences(
    site: str, warehouse: dict[int, tuple[int, int, int]], live: dict[int, tuple[int, int, int]]
) -> Iterator[Difference]:
    """Every number of every minute that is not the same in both, in order."""
    nothing = (0, 0, 0)
    for minute in sorted({*warehouse, *live}):
        pairs = zip(warehouse.get(minute, nothing), live.get(minute, nothing), strict=True)
        for what, (one, other) in zip(("events", "views", "bots"), pairs, strict=True):
            if one != other:
                yield Difference(what, site, minute, one, other)


async def ledger_rows(group: Database, from_ms: int, to_ms: int) -> list[dict[str, int]]:
    """The ledger's minutes that have offsets: partition, minute, first_offset, end_offset, events (bots as well)."""
    wanted = {"_id.minute": {"$gte": from_ms, "$lt": to_ms}, "first_offset": {"$type": "number"}}
    return [
        {
            "partition": one["_id"]["partition"],
            "minute": one["_id"]["minute"],
            "first_offset": one["first_offset"],
            "end_offset": one["end_offset"],
            "events": one["enriched"] + one["bots"],
        }
        async for one in group["ledger"].find(wanted)
    ]


def count_by_ledger(
    connection: Connection, from_ms: int, to_ms: int, rows: Sequence[dict[str, int]]
) -> dict[tuple[int, int], int]:
    """Events of the view `events` in each row's offsets. The rows are of minutes in the range."""
    schema = pa.schema([(name, pa.int64()) for name in ("partition", "minute", "first_offset", "end_offset")])
    ranges = pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema)
    connection.register("ledger_ranges", ranges)
    received = {"from": from_ms - RECEIVED_MS, "to": to_ms + RECEIVED_MS}
    found = connection.execute(LEDGER_SQL, received).fetchall()
    return {(partition, minute): events for partition, minute, events in found}


def ledger_differences(rows: Sequence[dict[str, int]], warehouse: dict[tuple[int, int], int]) -> Iterator[Difference]:
    """Every row whose events the warehouse does not have, or has more of."""
    for row in sorted(rows, key=lambda row: (row["minute"], row["partition"])):
        found = warehouse.get((row["partition"], row["minute"]), 0)
        if found != row["events"]:
            yield Difference("enriched + bots", f"partition {row['partition']}", row["minute"], found, row["events"])


def count_day(
    events: FoundEvents, connection: Connection, from_ms: int, to_ms: int, rows: Sequence[dict[str, int]]
) -> tuple[dict[int, tuple[int, int, int]], dict[tuple[int, int], int]]:
    """Minutes and ledger rows of one site's events."""
    events.register(connection, "events")
    return warehouse_minutes(connection, from_ms, to_ms), count_by_ledger(connection, from_ms, to_ms, rows)

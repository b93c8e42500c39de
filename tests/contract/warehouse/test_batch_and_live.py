"""What is counted from the warehouse and what was counted live are the same numbers, or the difference is named."""

import asyncio
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import duckdb
import pytest

from pistats.live.fold import LiveBuckets
from pistats.mongo.indexes import Database
from pistats.visitors.retention import RetentionCells
from pistats.visitors.visitors import Visitors
from pistats.visitors.zones import LocalDays
from pistats.warehouse.activity import activity_until
from pistats.warehouse.cohort_cells import (
    cells_of,
    cells_table,
    count_in_a_loop,
    differences,
    live_cells,
    questions,
    units_of,
)
from pistats.warehouse.parity import count_day, ledger_differences, ledger_rows, live_minutes, minute_differences
from pistats.warehouse.rollup import Rollups
from pistats.warehouse.rollup_files import RollupStore, write_cohorts
from pistats.warehouse.source import EventSource
from pistats.warehouse.storage import Storage
from tests.contract.warehouse.test_rollups import BERLIN, NOW, some_events
from tests.plain_history import Event
from tests.table_events import SITE, an_event
from tests.warehouse_events import ArchiveEvents, chunk_document

TODAY = date(2026, 11, 4)
DAY_MS = 86_400_000
DAY = int(datetime(2026, 10, 25, tzinfo=UTC).timestamp() * 1000)


async def counted_live(group: Database, events: list[Event]) -> None:
    """As a consumer counts them, in the order in which they came."""
    visitors = Visitors(0, lambda _: LocalDays(ZoneInfo("Europe/Berlin")), keep=1_000)
    cells = RetentionCells(0)
    visitors.fold([{**event} for event in events])
    cells.fold(visitors.changes())
    await group["retention"].insert_many(cells.documents())


@pytest.mark.parametrize("rolled_up", [False, True])
async def test_every_cell_of_the_cohorts(
    group: Database,
    source: EventSource,
    root: str,
    archive: ArchiveEvents,
    rolled_up: bool,
) -> None:
    events = some_events(250, seed=11)
    await archive(events[:200])
    await group["chunks"].insert_one(chunk_document(events[200:]))
    await counted_live(group, events)
    store, storage = RollupStore(group), Storage(root)
    if rolled_up:
        rollups = Rollups(store, source, storage, "live", "run", lambda: NOW)
        assert await rollups.run(BERLIN, await rollups.days_to_count(BERLIN)) > 0

    activity, _ = await activity_until(source, store, storage, SITE, "Europe/Berlin", TODAY)
    assert bool(activity.files) == rolled_up
    assert activity.first is not None
    live = await live_cells(group, SITE)
    asked = questions("Europe/Berlin", activity.first, TODAY)
    counted = {
        question: await asyncio.to_thread(count_in_a_loop, units_of(activity, question)) for question in asked.values()
    }
    for question, parts in counted.items():
        batch = cells_of(question, parts)
        assert [*differences(SITE, question, batch, live, NOW)] == []
        table = cells_table(question, parts, NOW)
        assert sum(one["size"] for one in table.to_pylist() if one["period"] == 0) == sum(
            cells.size for cells in batch.values()
        )

    # One visitor too many in one cell of real time is found, and named.
    key, cells = sorted(live.items(), key=lambda pair: pair[0])[0]
    wrong = live | {key: type(cells)(cells.size, (cells.returned[0] + 1, *cells.returned[1:]))}
    [found] = differences(SITE, asked["day"], cells_of(asked["day"], counted[asked["day"]]), wrong, NOW)
    assert f"day cohort {key[1]}, period 0" in str(found)

    await write_cohorts(store, storage, "live", SITE, table, "run")
    assert await store.find(SITE, "day", date(2020, 1, 1), date(2020, 1, 2)) == {}


async def test_a_day_in_live_minutes_ledger_and_warehouse(
    group: Database, source: EventSource, archive: ArchiveEvents
) -> None:
    events = [
        an_event(
            number,
            event_time=DAY + number * 97_000 % DAY_MS,
            received_time=DAY + number * 97_000 % DAY_MS + 50,
            visitor_id=f"v{number % 9}",
            name="page_view" if number % 3 else "buy",
            path="/",
            is_bot=number % 10 == 0,
        )
        for number in range(500)
    ]
    events.append(an_event(500, event_time=DAY - 5 * DAY_MS, received_time=DAY + 50, path="/"))  # too late to be live
    imported = an_event(7, partition=-1, event_time=DAY + 5, received_time=DAY + 9 * DAY_MS, path="/", event_id="i")
    await archive(events[:400])
    await group["chunks"].insert_one(chunk_document(events[400:]))
    buckets = LiveBuckets(0)
    buckets.fold([{**event} for event in events])
    await group["minutes"].insert_many(buckets.documents())
    await archive([imported])
    bots = sum(event["is_bot"] for event in events)
    ledger = {"enriched": 501 - bots, "bots": bots, "first_offset": 0, "end_offset": 501}
    await group["ledger"].insert_one({"_id": {"partition": 0, "minute": DAY}, **ledger})

    there = await source.events(SITE, 0, DAY + DAY_MS)
    rows = await ledger_rows(group, DAY, DAY + DAY_MS)
    with duckdb.connect() as connection:
        minutes, by_row = count_day(there, connection, DAY, DAY + DAY_MS, rows)
    live = await live_minutes(group, SITE, DAY, DAY + DAY_MS)

    assert sum(sum(counts) for counts in minutes.values()) == 800
    assert [*minute_differences(SITE, minutes, live)] == []
    assert [*ledger_differences(rows, by_row)] == []

    await group["ledger"].update_one({}, {"$inc": {"enriched": 1}})
    [lost] = ledger_differences(await ledger_rows(group, DAY, DAY + DAY_MS), by_row)
    assert str(lost) == "partition 0, 2026-10-25T00:00Z, enriched + bots: 501 in the warehouse, 502 counted"
    first = min(live)
    live[first] = (live[first][0], live[first][1] + 1, live[first][2])
    [found] = minute_differences(SITE, minutes, live)
    assert (found.what, found.at, found.counted - found.warehouse) == ("views", first, 1)

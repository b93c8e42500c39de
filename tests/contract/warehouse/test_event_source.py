"""A reader sees the manifest's files and the waiting chunks of one moment, restricted to site, range and not erased."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from pistats.errors import OverloadedError
from pistats.mongo.indexes import Database
from pistats.warehouse.chunk import encode_chunk, events_to_batch
from pistats.warehouse.manifest import Manifest, WarehouseFile
from pistats.warehouse.parquet import to_file_rows, write_rows
from pistats.warehouse.source import EventSource
from tests.warehouse_events import DAY_MS, NOON, SITE, an_event, chunk_document, offsets, read_all, some_events

ALL = (0, 2**60)


async def wait_in_outbox(group: Database, *chunks: list[dict[str, Any]]) -> None:
    await group["chunks"].insert_many([chunk_document(events) for events in chunks])


async def list_file(group: Database, source: EventSource, path: str, events: list[dict[str, Any]]) -> WarehouseFile:
    rows = to_file_rows(pa.Table.from_batches([events_to_batch(events)]))
    size = write_rows(source.storage, path, [rows])
    times = [event["event_time"] for event in events]
    file = WarehouseFile(
        path, events[0]["site"], "2025-11-25", (0, 63), len(events), size, min(times), max(times), "run", "stream", NOON
    )
    async with group.client.start_session() as session, await session.start_transaction():
        await Manifest(group).add([file], session)
    return file


async def test_files_and_chunks_are_read_as_one(group: Database, source: EventSource) -> None:
    await list_file(group, source, "live/a.parquet", some_events(5))
    await list_file(group, source, "live/it's.parquet", some_events(5, first=5))
    await wait_in_outbox(group, some_events(5, first=10), some_events(5, first=15))

    found = await source.events(SITE, *ALL)

    assert offsets(found) == list(range(20))
    assert read_all(found)[12]["event_id"] == f"{12:032x}"


async def test_nothing_is_an_empty_view(source: EventSource) -> None:
    assert read_all(await source.events(SITE, *ALL)) == []


async def test_a_range_has_its_beginning_and_not_its_end(group: Database, source: EventSource) -> None:
    await list_file(group, source, "live/a.parquet", some_events(10))
    await wait_in_outbox(group, some_events(10, first=10))

    assert offsets(await source.events(SITE, NOON + 8_000, NOON + 12_000)) == [8, 9, 10, 11]
    assert (await source.events(SITE, NOON + DAY_MS, NOON + 2 * DAY_MS)).files == ()


async def test_a_site_sees_its_own_events_only(group: Database, source: EventSource) -> None:
    await list_file(group, source, "live/a.parquet", some_events(3, site="other"))
    await list_file(group, source, "live/b.parquet", some_events(3, first=3))
    await wait_in_outbox(group, [an_event(n, site="other" if n % 2 else SITE) for n in range(6, 10)])

    assert offsets(await source.events(SITE, *ALL)) == [3, 4, 5, 6, 8]
    assert offsets(await source.events("other", *ALL)) == [0, 1, 2, 7, 9]


async def test_an_erased_visitor_is_not_seen_but_comes_back_with_later_events(
    group: Database, system: Database, source: EventSource
) -> None:
    await list_file(group, source, "live/a.parquet", some_events(14))
    await wait_in_outbox(group, some_events(14, first=14))
    await system["erasures"].insert_one(
        {"_id": {"site": SITE, "visitor_id": "visitor-3"}, "erased_time": NOON + 20_000}
    )
    await system["erasures"].insert_one({"_id": {"site": "other", "visitor_id": "visitor-4"}, "erased_time": 2**62})

    assert offsets(await source.events(SITE, *ALL)) == [n for n in range(28) if n not in (3, 10, 17)]


async def test_a_chunk_that_was_rewritten_is_read_again(group: Database, source: EventSource) -> None:
    await wait_in_outbox(group, some_events(5))
    assert len(offsets(await source.events(SITE, *ALL))) == 5
    data = encode_chunk(events_to_batch(some_events(4)))

    await group["chunks"].update_one({}, {"$set": {"data": data}, "$inc": {"revision": 1}})

    assert offsets(await source.events(SITE, *ALL)) == [0, 1, 2, 3]


async def test_the_cache_stays_within_its_bound_and_is_right_beyond_it(
    group: Database, system: Database, root: str
) -> None:
    await wait_in_outbox(group, *(some_events(10, first=10 * n) for n in range(10)))
    small = EventSource(group, system, root, cache_bytes=3_000)

    for _ in range(3):
        assert offsets(await small.events(SITE, *ALL)) == list(range(100))
        assert len(small._cache) <= 3


async def test_more_than_fits_in_memory_is_refused(group: Database, system: Database, root: str) -> None:
    await wait_in_outbox(group, some_events(10), some_events(10, first=10))

    with pytest.raises(OverloadedError, match="pistats job archive"):
        await EventSource(group, system, root, max_waiting_events=19).events(SITE, *ALL)


async def test_it_is_complete_up_to_the_least_advanced_partition(group: Database, source: EventSource) -> None:
    assert (await source.events(SITE, *ALL)).complete_through is None
    seen = datetime.fromtimestamp((NOON + 9_000) / 1000, UTC)
    await group["partitions"].insert_many(
        [
            {"_id": 0, "append_time": NOON, "caught_up": True, "checked_at": seen},
            {"_id": 1, "append_time": NOON + 5_000, "caught_up": False, "checked_at": seen},
        ]
    )
    assert (await source.events(SITE, *ALL)).complete_through == NOON + 5_000
    await group["partitions"].insert_one({"_id": 2, "append_time": None, "caught_up": False, "checked_at": None})
    assert (await source.events(SITE, *ALL)).complete_through is None


async def test_a_set_that_was_read_before_the_archive_moved_its_events_still_holds_them(
    group: Database, source: EventSource
) -> None:
    await wait_in_outbox(group, some_events(5))
    before = await source.events(SITE, *ALL)

    await list_file(group, source, "live/a.parquet", some_events(5))
    await group["chunks"].delete_many({})

    assert offsets(before) == offsets(await source.events(SITE, *ALL)) == [0, 1, 2, 3, 4]


async def test_what_is_remembered_of_chunks_forgets_an_erased_visitor_at_the_next_look(
    group: Database, system: Database, source: EventSource
) -> None:
    await wait_in_outbox(group, some_events(14), some_events(14, first=14))
    await source.events(SITE, *ALL)
    assert "visitor-3" in remembered(source)
    await system["erasures"].insert_one(
        {"_id": {"site": SITE, "visitor_id": "visitor-3"}, "erased_time": NOON + DAY_MS, "done_time": None}
    )

    for _ in range(2):
        found = await source.events(SITE, *ALL)
        assert offsets(found) == [number for number in range(28) if number % 7 != 3]
        assert remembered(source) == {f"visitor-{number}" for number in range(7) if number != 3}


def remembered(source: EventSource) -> set[str]:
    decoded = source._cache._decoded.values()
    return {one for sites in decoded for batch in sites.values() for one in batch["visitor_id"].to_pylist()}

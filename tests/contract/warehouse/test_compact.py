"""Files are merged and split without any event lost, doubled or changed, whatever dies and whoever reads meanwhile."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from pistats.clock import now_ms
from pistats.errors import CorruptionError
from pistats.mongo.indexes import Database
from pistats.warehouse.ages import HOUR_MS
from pistats.warehouse.archive import Archive
from pistats.warehouse.compact import Compaction, Sizes
from pistats.warehouse.manifest import Manifest, WarehouseFile
from pistats.warehouse.source import EventSource
from pistats.warehouse.sweep import Sweep
from tests.warehouse_events import (
    DAY_MS,
    NOON,
    SITE,
    DeathError,
    chunk_document,
    files_on_disk,
    offsets,
    read_all,
    some_events,
)

NewArchive = Callable[..., Archive]
NewCompaction = Callable[..., Compaction]
ALL = (0, 2**60)
NO_LIMIT = Sizes(small=2**40, aim=2**40, large=2**40)


async def archive_files(group: Database, new_archive: NewArchive, files: int, events: int = 50, **fields: Any) -> None:
    """So many small files of one date, each event's text its own, so that sizes mean something."""
    for number in range(files):
        new = some_events(events, first=number * events, **fields)
        for event in new:
            event["title"] = os.urandom(60).hex()
            event["visitor_id"] = f"visitor-{event['offset'] % 97}"
        await group["chunks"].insert_one(chunk_document(new))
        await new_archive().run()


async def listed(group: Database) -> list[WarehouseFile]:
    return await Manifest(group).files()


async def test_small_files_become_one(
    group: Database, source: EventSource, new_archive: NewArchive, new_compaction: NewCompaction
) -> None:
    await archive_files(group, new_archive, 5)
    before = read_all(await source.events(SITE, *ALL))
    old = await listed(group)
    dirty = await group["dirty_dates"].find().to_list()

    done = await new_compaction(NO_LIMIT).run()

    (file,) = await listed(group)
    assert (done.files_before, done.files_after) == (5, 1)
    assert read_all(await source.events(SITE, *ALL)) == before
    assert (file.rows, file.min_event_time, file.max_event_time) == (
        250,
        min(one.min_event_time for one in old),
        max(one.max_event_time for one in old),
    )
    assert await group["dirty_dates"].find().to_list() == dirty
    assert (await new_compaction(NO_LIMIT).run()).rewrites == 0


async def test_a_day_that_is_over_is_split_by_buckets(
    group: Database,
    source: EventSource,
    new_archive: NewArchive,
    new_compaction: NewCompaction,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pistats.warehouse.rewrite.GROUP_ROWS", 100)
    await archive_files(group, new_archive, 4, events=500)
    before = read_all(await source.events(SITE, *ALL))

    await new_compaction().run()

    files = await listed(group)
    spans = sorted(file.buckets for file in files)
    assert len(files) >= 4
    assert [bucket for lo, hi in spans for bucket in range(lo, hi + 1)] == list(range(64))
    assert read_all(await source.events(SITE, *ALL)) == before
    assert (await new_compaction().run()).rewrites == 0


async def test_late_files_join_without_rewriting_the_large_ones(
    group: Database, source: EventSource, new_archive: NewArchive, new_compaction: NewCompaction
) -> None:
    await archive_files(group, new_archive, 4, events=500)
    await new_compaction().run()
    large = {file.path for file in await listed(group)}
    for first in (5_000, 5_010):
        await group["chunks"].insert_one(chunk_document(some_events(10, first=first, event_time=NOON)))
        await new_archive().run()

    await new_compaction().run()

    files = {file.path: file.rows for file in await listed(group)}
    assert large < files.keys()
    assert [rows for path, rows in files.items() if path not in large] == [20]


async def test_an_erased_visitor_does_not_survive_it(
    group: Database, system: Database, source: EventSource, new_archive: NewArchive, new_compaction: NewCompaction
) -> None:
    await archive_files(group, new_archive, 2)
    await system["erasures"].insert_one({"_id": {"site": SITE, "visitor_id": "visitor-3"}, "erased_time": 2**62})

    await new_compaction(NO_LIMIT).run()

    await system["erasures"].delete_many({})
    assert offsets(await source.events(SITE, *ALL)) == [n for n in range(100) if n not in (3,)]


@pytest.mark.parametrize("step", ["_write", "_swap", "rewrite"])
async def test_a_run_that_dies_leaves_garbage_and_the_next_one_finishes(
    step: str,
    group: Database,
    source: EventSource,
    new_archive: NewArchive,
    new_compaction: NewCompaction,
    root: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await archive_files(group, new_archive, 4)
    before = read_all(await source.events(SITE, *ALL))
    dying = new_compaction(NO_LIMIT)
    call = getattr(dying._rewriter, step)

    def then_die(*args: Any, **kwargs: Any) -> Any:
        call(*args, **kwargs)
        raise DeathError

    async def then_die_later(*args: Any, **kwargs: Any) -> Any:
        await call(*args, **kwargs)
        raise DeathError

    monkeypatch.setattr(dying._rewriter, step, then_die if step == "_write" else then_die_later)
    with pytest.raises(DeathError):
        await dying.run()
    assert read_all(await source.events(SITE, *ALL)) == before
    await new_compaction(NO_LIMIT).run()

    assert read_all(await source.events(SITE, *ALL)) == before
    assert len(await listed(group)) == 1
    await Sweep(group, source.storage, "live", grace_s=60, clock=lambda: now_ms() + 25 * HOUR_MS).run()
    assert files_on_disk(root) == {file.path for file in await listed(group)}


async def test_two_runs_at_once_merge_once(
    group: Database, source: EventSource, new_archive: NewArchive, new_compaction: NewCompaction
) -> None:
    await archive_files(group, new_archive, 6)
    before = read_all(await source.events(SITE, *ALL))

    done = await asyncio.gather(*(new_compaction(NO_LIMIT).run() for _ in range(3)))

    assert sum(one.rewrites for one in done) == 1
    assert read_all(await source.events(SITE, *ALL)) == before


async def test_replaced_files_stay_for_the_grace_period(
    group: Database, source: EventSource, new_archive: NewArchive, new_compaction: NewCompaction, root: str
) -> None:
    await archive_files(group, new_archive, 3)
    reading = await source.events(SITE, *ALL)
    await new_compaction(NO_LIMIT).run()

    early = await Sweep(group, source.storage, "live", grace_s=60).run()
    assert len(offsets(reading)) == 150
    late = await Sweep(group, source.storage, "live", grace_s=60, clock=lambda: now_ms() + 61_000).run()
    again = await Sweep(group, source.storage, "live", grace_s=60, clock=lambda: now_ms() + 61_000).run()

    assert (early.replaced, late.replaced, again.replaced) == (0, 3, 0)
    assert files_on_disk(root) == {file.path for file in await listed(group)}


async def test_a_listed_file_that_is_gone_stops_it(
    group: Database, source: EventSource, new_archive: NewArchive, new_compaction: NewCompaction
) -> None:
    await archive_files(group, new_archive, 2)
    source.storage.delete([(await listed(group))[0].path])

    with pytest.raises(CorruptionError, match="restore it from a backup"):
        await new_compaction(NO_LIMIT).run()
    assert len(await listed(group)) == 2


async def test_rows_that_are_missing_from_a_file_stop_it(
    group: Database, new_archive: NewArchive, new_compaction: NewCompaction
) -> None:
    await archive_files(group, new_archive, 2)
    await group["files"].update_one({}, {"$inc": {"rows": 1}})

    with pytest.raises(CorruptionError, match="101 rows are listed and 100 were found"):
        await new_compaction(NO_LIMIT).run()
    assert len(await listed(group)) == 2


async def test_a_reader_sees_every_event_once_while_archive_and_compaction_run(
    group: Database, source: EventSource, new_archive: NewArchive, new_compaction: NewCompaction
) -> None:
    ended = asyncio.Event()
    reads = 0

    async def write() -> None:
        for number in range(25):
            for part in range(2):
                await group["chunks"].insert_one(chunk_document(some_events(10, first=20 * number + 10 * part)))
            await new_archive().run()
        ended.set()

    async def compact() -> None:
        while not ended.is_set():
            await new_compaction(NO_LIMIT).run()
            await asyncio.sleep(0.01)

    async def read() -> None:
        nonlocal reads
        seen = 0
        while not ended.is_set():
            found = offsets(await source.events(SITE, NOON - DAY_MS, NOON + DAY_MS))
            assert found == list(range(len(found))), "an event is missing or there twice"
            assert len(found) >= seen, "an event was there and is gone"
            seen = len(found)
            reads += 1

    await asyncio.gather(write(), compact(), compact(), read())

    assert offsets(await source.events(SITE, *ALL)) == list(range(500))
    assert reads > 5

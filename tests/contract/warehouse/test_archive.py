"""Chunks become files once, whatever dies, whoever else does the same, and whenever a reader looks."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from pistats.clock import now_ms
from pistats.errors import RetryableError
from pistats.mongo.indexes import Database
from pistats.warehouse.ages import HOUR_MS
from pistats.warehouse.archive import Archive
from pistats.warehouse.chunk import encode_chunk, events_to_batch
from pistats.warehouse.manifest import Manifest
from pistats.warehouse.source import EventSource
from pistats.warehouse.sweep import Sweep
from tests.warehouse_events import (
    DAY_MS,
    NOON,
    SITE,
    DeathError,
    an_event,
    chunk_document,
    files_on_disk,
    offsets,
    some_events,
)

NewArchive = Callable[..., Archive]
ALL = (0, 2**60)


async def wait_in_outbox(group: Database, chunks: int, events: int = 10, **fields: Any) -> None:
    """So many chunks, of so many events each."""
    await group["chunks"].insert_many(
        [chunk_document(some_events(events, first=number * events, **fields)) for number in range(chunks)]
    )


async def archived_events(group: Database) -> int:
    return sum([one["events"] async for one in group["archived"].find()])


async def dirty_dates(group: Database) -> list[tuple[str, str]]:
    return sorted([(one["_id"]["site"], one["_id"]["date"]) async for one in group["dirty_dates"].find()])


async def check_each_event_once(group: Database, source: EventSource, root: str, events: int) -> None:
    """The whole truth after all runs: every event is there once, counted once, and nothing waits."""
    assert offsets(await source.events(SITE, *ALL)) == list(range(events))
    assert await archived_events(group) == events
    assert await group["chunks"].count_documents({}) == 0
    assert {file.path for file in await Manifest(group).files()} <= files_on_disk(root)


async def test_what_waits_is_in_files_afterwards(
    group: Database, source: EventSource, new_archive: NewArchive, root: str
) -> None:
    await wait_in_outbox(group, 10)

    done = await new_archive(unit_events=25).run()

    await check_each_event_once(group, source, root, 100)
    assert (done.events, done.chunks, done.files) == (100, 10, 5)
    assert await dirty_dates(group) == [(SITE, "2025-11-25")]
    minutes = {one["_id"]["minute"]: one["events"] async for one in group["archived"].find()}
    assert minutes == {NOON: 60, NOON + 60_000: 40}


async def test_doing_it_again_changes_nothing(group: Database, new_archive: NewArchive) -> None:
    await wait_in_outbox(group, 3)
    await new_archive().run()
    before = [await group[name].find().to_list() for name in ("files", "archived", "dirty_dates")]

    assert (await new_archive().run()).events == 0

    assert [await group[name].find().to_list() for name in ("files", "archived", "dirty_dates")] == before


async def test_publishing_again_what_was_published_unheard_keeps_its_files(
    group: Database, new_archive: NewArchive, root: str
) -> None:
    """As the driver does when a commit's answer is lost and the server has forgotten the transaction since."""
    await group["chunks"].insert_one(chunk_document(some_events(20)))
    archive = new_archive()
    (unit,) = await archive.plan(datetime.now(UTC))
    written = await archive.write(unit)

    assert await archive.publish(written)
    assert not await archive.publish(written)

    assert files_on_disk(root) == {file.path for file in written.files}


async def test_events_are_filed_under_their_own_site_and_date(group: Database, new_archive: NewArchive) -> None:
    late = {"event_time": NOON - 3 * DAY_MS}
    events = [an_event(0), an_event(1, **late), an_event(2, site="b"), an_event(3, site="b", **late)]
    await group["chunks"].insert_one(chunk_document(events))

    await new_archive().run()

    files = await Manifest(group).files()
    found = {(file.site, file.date): (file.min_event_time, file.max_event_time, file.rows) for file in files}
    assert found == {
        (SITE, "2025-11-25"): (NOON, NOON, 1),
        (SITE, "2025-11-22"): (NOON - 3 * DAY_MS, NOON - 3 * DAY_MS, 1),
        ("b", "2025-11-25"): (NOON + 2_000, NOON + 2_000, 1),
        ("b", "2025-11-22"): (NOON - 3 * DAY_MS, NOON - 3 * DAY_MS, 1),
    }
    assert all(file.path.startswith(f"live/site={file.site}/date={file.date}/bucket=00-63/run-") for file in files)
    assert await dirty_dates(group) == sorted(found)


async def test_an_erased_visitor_is_not_archived_but_is_counted(
    group: Database, system: Database, source: EventSource, new_archive: NewArchive
) -> None:
    await wait_in_outbox(group, 2, events=7)
    await system["erasures"].insert_one({"_id": {"site": SITE, "visitor_id": "visitor-3"}, "erased_time": NOON + 5_000})

    await new_archive().run()

    await system["erasures"].delete_many({})
    assert offsets(await source.events(SITE, *ALL)) == [n for n in range(14) if n != 3]
    assert await archived_events(group) == 14


async def test_a_chunk_of_erased_events_only_leaves_no_file(
    group: Database, system: Database, new_archive: NewArchive
) -> None:
    await wait_in_outbox(group, 2, events=7, visitor_id="gone")
    await system["erasures"].insert_one({"_id": {"site": SITE, "visitor_id": "gone"}, "erased_time": 2**62})

    await new_archive().run()

    assert (await group["files"].count_documents({}), await group["chunks"].count_documents({})) == (0, 0)
    assert await archived_events(group) == 14


async def test_two_runs_with_the_same_chunks_archive_them_once(
    group: Database, source: EventSource, new_archive: NewArchive, root: str
) -> None:
    await wait_in_outbox(group, 20)

    done = await asyncio.gather(*(new_archive(unit_events=50).run() for _ in range(3)))

    assert sum(one.events for one in done) == 200
    await check_each_event_once(group, source, root, 200)
    assert files_on_disk(root) == {file.path for file in await Manifest(group).files()}


async def test_a_chunk_that_was_rewritten_meanwhile_is_read_again(
    group: Database, source: EventSource, new_archive: NewArchive
) -> None:
    await wait_in_outbox(group, 2)
    archive = new_archive()
    written = await archive.write((await archive.plan(archive._now()))[0])
    data = encode_chunk(events_to_batch(some_events(9)))
    await group["chunks"].update_one({"_id.first_offset": 0}, {"$set": {"data": data}, "$inc": {"revision": 1}})

    assert not await archive.publish(written)
    await archive.run()

    assert offsets(await source.events(SITE, *ALL)) == [n for n in range(20) if n != 9]
    assert await archived_events(group) == 20


STEPS = (
    "a file is written",
    "chunks are taken",
    "files are listed",
    "dates are marked",
    "committed",
)


def break_at(step: str, monkeypatch: pytest.MonkeyPatch, archive: Archive) -> None:
    """The run dies behind this step of its second unit."""
    passed = Counter[str]()

    def broken(where: str, call: Callable[..., Any]) -> Callable[..., Any]:
        async def then_die(*args: Any, **kwargs: Any) -> Any:
            result = await call(*args, **kwargs)
            passed[where] += 1
            if where == step and passed[where] == 2:
                raise DeathError(step)
            return result

        return then_die

    monkeypatch.setattr(archive, "write", broken("a file is written", archive.write))
    monkeypatch.setattr(archive, "_take", broken("chunks are taken", archive._take))
    monkeypatch.setattr(archive._manifest, "add", broken("files are listed", archive._manifest.add))
    monkeypatch.setattr(archive._manifest, "mark_dirty", broken("dates are marked", archive._manifest.mark_dirty))
    monkeypatch.setattr(archive, "publish", broken("committed", archive.publish))


@pytest.mark.parametrize("step", STEPS)
async def test_a_run_that_dies_leaves_garbage_and_the_next_one_finishes(
    step: str,
    group: Database,
    system: Database,
    source: EventSource,
    new_archive: NewArchive,
    root: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await wait_in_outbox(group, 10)
    dying = new_archive(unit_events=20)
    break_at(step, monkeypatch, dying)

    with pytest.raises(DeathError):
        await dying.run()
    assert offsets(await source.events(SITE, *ALL)) == list(range(100))
    await new_archive().run()

    await check_each_event_once(group, source, root, 100)
    listed = {file.path for file in await Manifest(group).files()}
    await Sweep(group, source.storage, "live", grace_s=60, clock=lambda: now_ms() + 25 * HOUR_MS).run()
    assert files_on_disk(root) == listed


async def test_a_commit_without_an_answer_archives_once(
    group: Database, source: EventSource, new_archive: NewArchive, root: str
) -> None:
    await wait_in_outbox(group, 5)
    fail = {"failCommands": ["commitTransaction"], "closeConnection": True, "appName": "pistats"}
    await group.client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=fail)
    try:
        await new_archive().run()
    except PyMongoError:
        await new_archive().run()
    finally:
        await group.client.admin.command("configureFailPoint", "failCommand", mode="off")

    await check_each_event_once(group, source, root, 50)


async def test_files_that_were_written_long_ago_are_not_listed(
    group: Database, source: EventSource, new_archive: NewArchive, root: str
) -> None:
    await wait_in_outbox(group, 2)
    now = [NOON + DAY_MS]
    archive = new_archive(clock=lambda: now[0])
    written = await archive.write((await archive.plan(archive._now()))[0])
    now[0] += 13 * HOUR_MS

    with pytest.raises(RetryableError, match="run it again"):
        await archive.publish(written)
    assert await group["files"].count_documents({}) == 0
    await archive.run()
    await check_each_event_once(group, source, root, 20)


async def test_young_garbage_stays(group: Database, source: EventSource, new_archive: NewArchive, root: str) -> None:
    await wait_in_outbox(group, 2)
    archive = new_archive()
    await archive.write((await archive.plan(archive._now()))[0])

    swept = await Sweep(group, source.storage, "live", grace_s=60).run()

    assert (swept.garbage, len(files_on_disk(root))) == (0, 1)


async def test_a_unit_of_very_long_texts_ends_early(
    group: Database, source: EventSource, new_archive: NewArchive, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pistats.warehouse.archive.MAX_UNIT_BYTES", 50_000)
    await wait_in_outbox(group, 6, title="x" * 2_000)

    assert (await new_archive().run()).files == 2

    await check_each_event_once(group, source, root, 60)


async def test_a_reader_sees_every_event_once_while_consumers_write_and_archives_run(
    group: Database, source: EventSource, new_archive: NewArchive, root: str
) -> None:
    chunks, ended = 60, asyncio.Event()
    reads: list[int] = []

    async def consume() -> None:
        for number in range(chunks):
            await group["chunks"].insert_one(chunk_document(some_events(10, first=10 * number)))
            await asyncio.sleep(0)

    async def archive() -> None:
        while not ended.is_set():
            await new_archive(unit_events=30).run()

    async def read() -> None:
        while not ended.is_set():
            found = offsets(await source.events(SITE, *ALL))
            assert found == list(range(len(found))), "an event is missing or there twice"
            assert len(found) >= (reads[-1] if reads else 0), "an event was there and is gone"
            reads.append(len(found))

    others = [asyncio.create_task(work()) for work in (archive, archive, read)]
    await consume()
    for _ in range(200):
        if await group["chunks"].count_documents({}) == 0:
            break
        await asyncio.sleep(0.05)
    ended.set()
    await asyncio.gather(*others)

    await check_each_event_once(group, source, root, 10 * chunks)
    assert len(set(reads)) > 3

"""An erased visitor is nowhere any more, whatever dies meanwhile and whoever moves events; everybody else is."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from pistats.clock import now_ms
from pistats.mongo.indexes import Database
from pistats.topology import settle_topology
from pistats.visitors.erasures import NOTICE_MS, erasures_wait
from pistats.warehouse.ages import HOUR_MS
from pistats.warehouse.archive import Archive
from pistats.warehouse.chunk import decode_chunk
from pistats.warehouse.compact import Compaction, Sizes
from pistats.warehouse.erase import Eraser, Removed, request_erasure
from pistats.warehouse.parquet import read_rows
from pistats.warehouse.source import EventSource
from pistats.warehouse.sweep import Sweep
from tests.warehouse_events import NOON, SITE, DeathError, an_event, chunk_document, files_on_disk, offsets, some_events

NewArchive = Callable[..., Archive]
NewCompaction = Callable[..., Compaction]
ALL = (0, 2**60)
VISITOR = "v$3\"'; -- \u202e\\"
OTHERS = "visitor-"
ERASED_TIME = NOON + HOUR_MS
NO_LIMIT = Sizes(small=2**40, aim=2**40, large=2**40)


def events_with(visitor_id: str, count: int, first: int = 0) -> list[dict[str, Any]]:
    """Every seventh event is this visitor's."""
    events = some_events(count, first)
    for event in events:
        if event["offset"] % 7 == 3:
            event["visitor_id"] = visitor_id
    return events


def letter(offset: int, payload: bytes, created: int = NOON) -> dict[str, Any]:
    return {
        "_id": {"partition": 0, "offset": offset},
        "payload": payload,
        "created_at": datetime.fromtimestamp(created / 1000, UTC),
    }


def record(**fields: Any) -> bytes:
    return orjson.dumps({"site": SITE, "visitor_id": VISITOR, "received_time": NOON, **fields})


@pytest.fixture
async def stored(group: Database, system: Database, new_archive: NewArchive) -> None:
    """The visitor in two files, two chunks, two dead letters and the feed, among others."""
    await settle_topology(system, 2)
    for first in (0, 50):
        await group["chunks"].insert_one(chunk_document(events_with(VISITOR, 50, first)))
        await new_archive().run()
    for first in (100, 150):
        await group["chunks"].insert_one(chunk_document(events_with(VISITOR, 50, first)))
    await group["dead_letters"].insert_many(
        [
            letter(1_000, record()),
            letter(1_001, record()[:-3]),
            letter(1_002, record(visitor_id="other")),
            letter(1_003, record(received_time=ERASED_TIME + 1)),
            letter(1_004, b"\xff not JSON"),
        ]
    )
    shown = [{"visitor_id": one, "event_time": NOON} for one in (VISITOR, "other", VISITOR)]
    await group["feed"].insert_one({"_id": {"site": SITE, "partition": 0}, "events": shown})


@pytest.fixture
def eraser(group: Database, system: Database, source: EventSource) -> Eraser:
    return Eraser(system, {"live": group}, source.storage, "erase", clock=lambda: ERASED_TIME + 1_000)


async def owner_obeys(group: Database) -> None:
    """What a partition's owner does about requests, as far as it matters here."""
    await group["requests"].delete_many({})


async def traces(group: Database, system: Database, root: str, source: EventSource) -> list[str]:
    """Wherever the visitor is: in a file on disk, listed or not, or a document of MongoDB."""
    found = []
    for path in files_on_disk(root):
        rows = await asyncio.to_thread(read_rows, source.storage, path)
        if VISITOR in str(rows.to_pylist()) or VISITOR in rows["visitor_id"].to_pylist():
            found.append(path)
    for database in (group, system):
        for name in await database.list_collection_names():
            if name == "erasures":
                continue
            async for document in database[name].find():
                data = document.pop("data", None)
                texts = [] if data is None else decode_chunk(data, document["schema"]).column("visitor_id").to_pylist()
                payload = document.pop("payload", b"")
                if VISITOR in _texts(document) or VISITOR in texts or _is_record_of_visitor(payload):
                    found.append(f"{name}: {document['_id']}")
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.items() for text in _texts(list(item))]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _is_record_of_visitor(payload: bytes) -> bool:
    return orjson.dumps(VISITOR)[1:-1] in payload


KEPT = [number for number in range(200) if number % 7 != 3]


async def test_nothing_of_the_visitor_is_left(
    stored: None, group: Database, system: Database, source: EventSource, eraser: Eraser, root: str
) -> None:
    await request_erasure(system, SITE, VISITOR, lambda: ERASED_TIME - NOTICE_MS)
    assert offsets(await source.events(SITE, *ALL)) == KEPT, "hidden at once"

    removed = (await eraser.run())["live"]

    assert removed == Removed(chunks=2, files=2, dead_letters=2, feeds=1, waiting=1)
    assert offsets(await source.events(SITE, *ALL)) == KEPT
    await owner_obeys(group)
    assert (await eraser.run())["live"].nothing
    await Sweep(group, source.storage, "live", grace_s=60, clock=lambda: now_ms() + 2 * HOUR_MS).run()
    left = await traces(group, system, root, source)
    assert left == ["dead_letters: {'partition': 0, 'offset': 1003}"], "received after the erasure"
    letters = sorted([one["_id"]["offset"] async for one in group["dead_letters"].find()])
    assert letters == [1_002, 1_003, 1_004]
    assert await group["dirty_dates"].count_documents({"_id.site": SITE}) == 1


async def test_what_was_counted_stays_counted(
    stored: None, group: Database, system: Database, eraser: Eraser, new_archive: NewArchive
) -> None:
    await request_erasure(system, SITE, VISITOR, lambda: ERASED_TIME - NOTICE_MS)
    await eraser.run()

    await new_archive().run()

    assert sum([one["events"] async for one in group["archived"].find()]) == 200


async def test_the_visitor_may_come_back(
    stored: None, group: Database, system: Database, source: EventSource, eraser: Eraser, new_archive: NewArchive
) -> None:
    await request_erasure(system, SITE, VISITOR, lambda: ERASED_TIME - NOTICE_MS)
    later = [an_event(500, visitor_id=VISITOR, received_time=ERASED_TIME + 1, event_time=ERASED_TIME)]
    await group["chunks"].insert_one(chunk_document(later))
    await new_archive().run()

    await eraser.run()

    assert offsets(await source.events(SITE, *ALL)) == [*KEPT, 500]


async def test_owners_are_asked_once_per_erasure(
    stored: None, group: Database, system: Database, eraser: Eraser
) -> None:
    await request_erasure(system, SITE, VISITOR, lambda: ERASED_TIME - NOTICE_MS)
    await eraser.run()
    (request,) = await group["requests"].find().to_list()
    assert (request["kind"], request["site"], request["visitor_id"]) == ("erase_visitor", SITE, VISITOR)
    await owner_obeys(group)

    await eraser.run()
    assert await group["requests"].count_documents({}) == 0

    await request_erasure(system, SITE, VISITOR, lambda: ERASED_TIME - NOTICE_MS + 500)
    await eraser.run()
    assert await group["requests"].count_documents({}) == 1


async def test_it_is_done_when_no_earlier_run_can_have_left_anything(
    stored: None, group: Database, system: Database, source: EventSource
) -> None:
    await request_erasure(system, SITE, VISITOR, lambda: ERASED_TIME - NOTICE_MS)
    now = [ERASED_TIME + 1_000]
    eraser = Eraser(system, {"live": group}, source.storage, "erase", clock=lambda: now[0])

    async def state() -> tuple[Any, Any]:
        erasure = await system["erasures"].find_one()
        assert erasure is not None
        return erasure["removed_time"], erasure["done_time"]

    assert await erasures_wait(system, now[0])
    await eraser.run()
    assert await state() == (None, None), "it found something"
    await owner_obeys(group)
    await eraser.run()
    assert await state() == (now[0], None)
    assert not await erasures_wait(system, now[0])
    removed_time = now[0]
    now[0] += 26 * HOUR_MS
    assert await erasures_wait(system, now[0])
    await eraser.run()
    assert await state() == (removed_time, None), "the replaced files are not deleted"
    await Sweep(group, source.storage, "live", grace_s=60, clock=lambda: now_ms() + 26 * HOUR_MS).run()
    await eraser.run()
    assert await state() == (removed_time, now[0])
    assert await eraser.run() == {}
    assert not await erasures_wait(system, now[0])


async def test_it_is_not_done_while_a_run_that_died_has_left_a_file(
    stored: None, group: Database, system: Database, source: EventSource, root: str
) -> None:
    """Compaction, which sweeps, may not have run for a day. A file that a run may still list is not touched."""
    (listed, *_) = sorted(files_on_disk(root))
    dead, under_way = (Path(root) / listed).with_name("dead.parquet"), (Path(root) / listed).with_name("new.parquet")
    for path in (dead, under_way):
        shutil.copy(Path(root) / listed, path)
    await request_erasure(system, SITE, VISITOR)
    settled = now_ms() + 26 * HOUR_MS
    os.utime(under_way, (settled / 1000 - 3_600,) * 2)
    eraser = Eraser(system, {"live": group}, source.storage, "erase", clock=lambda: settled)
    await eraser.run()
    await owner_obeys(group)
    await group["removed_files"].delete_many({})

    await eraser.run()

    assert await system["erasures"].count_documents({"done_time": settled}) == 1
    assert (dead.exists(), under_way.exists()) == (False, True)


async def test_shadow_groups_are_erased_too(
    stored: None, group: Database, system: Database, source: EventSource, root: str
) -> None:
    shadow = group.client[f"{group.name}_shadow"]
    try:
        await shadow["chunks"].insert_one(chunk_document(events_with(VISITOR, 50)))
        await request_erasure(system, SITE, VISITOR, lambda: ERASED_TIME - NOTICE_MS)

        removed = await Eraser(system, {"live": group, "shadow": shadow}, source.storage, "erase").run()

        assert removed["shadow"] == Removed(chunks=1, waiting=1)
    finally:
        await group.client.drop_database(shadow.name)


STEPS = (
    *("_ask_owner", "_rewrite_chunk", "_from_chunks", "_from_files", "_from_rollups", "_from_requests"),
    *("_from_dead_letters", "_from_feed", "_note"),
)


@pytest.mark.parametrize("step", STEPS)
async def test_a_run_that_dies_is_finished_by_the_next_one(
    step: str,
    stored: None,
    group: Database,
    system: Database,
    source: EventSource,
    eraser: Eraser,
    root: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await request_erasure(system, SITE, VISITOR, lambda: ERASED_TIME - NOTICE_MS)
    dying = Eraser(system, {"live": group}, source.storage, "erase", clock=lambda: ERASED_TIME + 1_000)
    call = getattr(dying, step)

    async def then_die(*args: Any, **kwargs: Any) -> Any:
        await call(*args, **kwargs)
        raise DeathError

    monkeypatch.setattr(dying, step, then_die)
    with contextlib.suppress(DeathError):
        for _ in range(3):
            await dying.run()
            await owner_obeys(group)
        pytest.fail(f"{step} was never taken")
    assert offsets(await source.events(SITE, *ALL)) == KEPT
    await eraser.run()
    await owner_obeys(group)

    assert (await eraser.run())["live"].nothing
    assert offsets(await source.events(SITE, *ALL)) == KEPT
    await group["removed_files"].update_many({}, {"$set": {"removed_at": datetime.fromtimestamp(0, UTC)}})
    await Sweep(group, source.storage, "live", grace_s=60, clock=lambda: now_ms() + 26 * HOUR_MS).run()
    assert await traces(group, system, root, source) == ["dead_letters: {'partition': 0, 'offset': 1003}"]


async def test_it_and_archive_and_compaction_at_once_leave_nothing(
    stored: None,
    group: Database,
    system: Database,
    source: EventSource,
    eraser: Eraser,
    new_archive: NewArchive,
    new_compaction: NewCompaction,
    root: str,
) -> None:
    for first in range(200, 600, 50):
        await group["chunks"].insert_one(chunk_document(events_with(VISITOR, 50, first)))
    await request_erasure(system, SITE, VISITOR, lambda: ERASED_TIME - NOTICE_MS)

    await asyncio.gather(eraser.run(), new_archive(unit_events=100).run(), new_compaction(NO_LIMIT).run(), eraser.run())
    await eraser.run()
    await owner_obeys(group)

    assert (await eraser.run())["live"].nothing
    assert offsets(await source.events(SITE, *ALL)) == [number for number in range(600) if number % 7 != 3]
    await Sweep(group, source.storage, "live", grace_s=60, clock=lambda: now_ms() + 26 * HOUR_MS).run()
    assert await traces(group, system, root, source) == ["dead_letters: {'partition': 0, 'offset': 1003}"]

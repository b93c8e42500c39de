"""A replayed group takes over what lies before its start, and imports, once, whatever dies."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from pistats.errors import RetryableError
from pistats.mongo.indexes import Database, ensure_group_indexes
from pistats.mongo.sessions import transaction
from pistats.topology import settle_topology
from pistats.warehouse.adopt import Adoption
from pistats.warehouse.archive import Archive
from pistats.warehouse.chunk import events_to_batch
from pistats.warehouse.manifest import Manifest
from pistats.warehouse.source import EventSource
from pistats.warehouse.storage import Storage
from pistats.warehouse.writer import FileWriter
from tests.warehouse_events import DAY_MS, NOON, SITE, DeathError, chunk_document, offsets, some_events

NewArchive = Callable[..., Archive]
ALL = (0, 2**60)


@pytest.fixture
async def target(group: Database) -> Database:
    """A group that began at offset 25 of partition 0 and has consumed 25 to 39."""
    database = group.client[f"{group.name}_target"]
    await ensure_group_indexes(database, 3_600)
    await database["partitions"].insert_one({"_id": 0, "start_offset": 25, "offset": 40})
    await database["chunks"].insert_one(chunk_document(some_events(15, first=25)))
    return database


@pytest.fixture
async def history(group: Database, system: Database, new_archive: NewArchive) -> None:
    """Events 0 to 39 of the shown group, on two dates, all archived."""
    await settle_topology(system, 1)
    await group["partitions"].insert_one({"_id": 0, "offset": 40})
    events = some_events(20, event_time=NOON - DAY_MS) + some_events(20, first=20)
    await group["chunks"].insert_one(chunk_document(events))
    await new_archive().run()


@pytest.fixture
def adoption(group: Database, system: Database, target: Database, root: str) -> Adoption:
    return Adoption(system, group, target, "fixed", Storage(root), "adopt")


async def seen(target: Database, system: Database, root: str) -> list[int]:
    return offsets(await EventSource(target, system, root).events(SITE, *ALL))


async def import_events(*groups: Database, root: str, first: int = 1_000) -> None:
    """As a backfill does: the same events into each group, with the unit that they came from."""
    events = pa.Table.from_batches([events_to_batch(some_events(3, first=first, partition=-1))])
    for number, group in enumerate(groups):
        files = FileWriter(Storage(root), f"import-{number}", "import").write_events(events, "import")
        await transaction(group, lambda session, group=group, files=files: Manifest(group).add(files, session))  # type: ignore[misc]
        await group["imports"].insert_one({"_id": {"site": SITE, "start": first, "digest": "d"}})


async def test_history_before_the_start_is_taken_over_once(
    history: None, target: Database, system: Database, root: str, adoption: Adoption
) -> None:
    done = await adoption.run()

    assert (done.dates, done.events) == (2, 25)
    assert await seen(target, system, root) == list(range(40))
    assert (await adoption.run()).events == 0
    assert await seen(target, system, root) == list(range(40))
    assert await target["dirty_dates"].count_documents({}) == 2


async def test_owners_are_told_about_the_visitors(history: None, target: Database, adoption: Adoption) -> None:
    await adoption.run()

    requests = await target["requests"].find({"kind": "merge_visitors"}).to_list()
    merged: dict[str, tuple[int, set[int]]] = {}
    for request in requests:
        for site, visitor_id, first_time, days in request["visitors"]:
            assert site == SITE
            known = merged.get(visitor_id, (first_time, set()))
            merged[visitor_id] = (min(known[0], first_time), known[1] | set(days))
    today = NOON // DAY_MS
    assert merged["visitor-6"] == (NOON - DAY_MS, {today - 1, today})
    assert merged["visitor-5"] == (NOON - DAY_MS, {today - 1})
    assert len(merged) == 7


async def test_imports_come_along(
    history: None, group: Database, target: Database, system: Database, root: str, adoption: Adoption
) -> None:
    await import_events(group, root=root)

    done = await adoption.run()

    assert done.own_imports == ()
    assert await seen(target, system, root) == [1_000, 1_001, 1_002, *range(40)]
    assert await target["imports"].count_documents({}) == 1
    await adoption.run()
    assert len(await seen(target, system, root)) == 43


async def test_a_group_that_was_imported_into_keeps_what_it_has(
    history: None, group: Database, target: Database, system: Database, root: str, adoption: Adoption
) -> None:
    await import_events(group, root=root, first=2_000)
    await import_events(group, target, root=root)

    done = await adoption.run()

    assert done.own_imports == (SITE,)
    assert await seen(target, system, root) == [1_000, 1_001, 1_002, *range(40)]


async def test_it_waits_until_everything_before_the_start_is_archived(
    history: None, group: Database, target: Database, adoption: Adoption
) -> None:
    await group["chunks"].insert_one(chunk_document(some_events(1, first=24)))
    with pytest.raises(RetryableError, match="pistats job archive"):
        await adoption.run()
    await group["chunks"].delete_many({})
    await group["partitions"].update_one({"_id": 0}, {"$set": {"offset": 24}})
    with pytest.raises(RetryableError, match="has not come to offset 25"):
        await adoption.run()
    await target["partitions"].update_one({"_id": 0}, {"$set": {"start_offset": None}})
    with pytest.raises(RetryableError, match="has not begun in partition 0"):
        await adoption.run()


@pytest.mark.parametrize("step", ["_write", "_ask_owners", "_adopt_date", "_adopt_imports"])
async def test_a_run_that_dies_is_finished_by_the_next_one(
    step: str,
    history: None,
    group: Database,
    target: Database,
    system: Database,
    root: str,
    adoption: Adoption,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await import_events(group, root=root)
    dying = Adoption(system, group, target, "fixed", Storage(root), "adopt")
    call = getattr(dying, step)

    async def then_die(*args: Any, **kwargs: Any) -> Any:
        await call(*args, **kwargs)
        raise DeathError

    monkeypatch.setattr(dying, step, then_die)
    with pytest.raises(DeathError):
        await dying.run()
    await adoption.run()

    assert await seen(target, system, root) == [1_000, 1_001, 1_002, *range(40)]


async def test_erased_visitors_are_not_taken_over(
    history: None, group: Database, target: Database, system: Database, root: str, adoption: Adoption
) -> None:
    await system["erasures"].insert_one({"_id": {"site": SITE, "visitor_id": "visitor-3"}, "erased_time": 2**62})
    await adoption.run()
    await system["erasures"].delete_many({})

    assert await seen(target, system, root) == [n for n in range(40) if n % 7 != 3 or n >= 25]

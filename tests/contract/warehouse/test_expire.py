"""A site's old events go after the days that it keeps them, and nothing of an expired date comes back."""

from collections.abc import Callable

import pytest

from pistats.mongo.indexes import Database
from pistats.warehouse.archive import Archive
from pistats.warehouse.compact import Compaction
from pistats.warehouse.expire import Expired, Expiry, oldest_date
from pistats.warehouse.source import EventSource
from tests.warehouse_events import DAY_MS, NOON, SITE, an_event, chunk_document, offsets

NewArchive = Callable[..., Archive]
ALL = (0, 2**60)


@pytest.mark.parametrize(
    ("keep_days", "expected"), [(None, None), (1, "2025-11-24"), (30, "2025-10-26"), (0, "2025-11-25")]
)
def test_every_event_is_kept_for_whole_days(keep_days: int | None, expected: str | None) -> None:
    assert oldest_date(keep_days, NOON) == expected


async def keep(system: Database, keep_days: int | None, site: str = SITE) -> None:
    await system["sites"].insert_one(
        {"_id": site, "keep_days": keep_days, "write_key_hash": f"w-{site}", "read_key_hash": f"r-{site}"}
    )


async def archive_days(group: Database, new_archive: NewArchive, days: int, site: str = SITE) -> None:
    """One event a day, the last one today."""
    events = [an_event(day, site=site, event_time=NOON - day * DAY_MS) for day in range(days)]
    await group["chunks"].insert_one(chunk_document(events))
    await new_archive(clock=lambda: NOON + DAY_MS).run()


async def test_old_dates_go_and_their_rollups_are_not_made_again(
    group: Database, system: Database, source: EventSource, new_archive: NewArchive
) -> None:
    await archive_days(group, new_archive, 5)
    await keep(system, 2)
    expiry = Expiry(group, system, clock=lambda: NOON)

    gone = await expiry.run()

    assert (gone.files, gone.events) == (2, 2)
    assert offsets(await source.events(SITE, *ALL)) == [0, 1, 2]
    dirty = sorted([one["_id"]["date"] async for one in group["dirty_dates"].find()])
    assert dirty == ["2025-11-23", "2025-11-24", "2025-11-25"]
    assert await expiry.run() == Expired()


async def test_sites_that_keep_everything_lose_nothing(
    group: Database, system: Database, source: EventSource, new_archive: NewArchive
) -> None:
    await archive_days(group, new_archive, 5)
    await keep(system, None)
    await keep(system, 1, site="other")

    assert await Expiry(group, system, clock=lambda: NOON).run() == Expired()
    assert len(offsets(await source.events(SITE, *ALL))) == 5


async def test_late_events_of_an_expired_date_are_counted_but_not_filed(
    group: Database, system: Database, source: EventSource, new_archive: NewArchive
) -> None:
    await keep(system, 2)
    await archive_days(group, new_archive, 5)

    assert offsets(await source.events(SITE, *ALL)) == [0, 1]
    assert await group["dirty_dates"].count_documents({}) == 2
    assert sum([one["events"] async for one in group["archived"].find()]) == 5


async def test_it_and_compaction_at_once_never_bring_a_date_back(
    group: Database,
    system: Database,
    source: EventSource,
    new_archive: NewArchive,
    new_compaction: Callable[..., Compaction],
) -> None:
    for _ in range(2):
        await archive_days(group, new_archive, 5)
    await keep(system, 2)
    compaction = new_compaction()
    (oldest, *_) = await compaction.plan()

    await Expiry(group, system, clock=lambda: NOON).run()

    assert oldest.old[0].date == "2025-11-21"
    assert await compaction._rewriter.rewrite(oldest) is None
    assert sorted(set(offsets(await source.events(SITE, *ALL)))) == [0, 1, 2]

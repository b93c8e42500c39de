"""An erasure at the partition's owner: what was received until then is gone, what comes later is a new visitor.

It makes no difference when the owner is asked, nor whether the log is consumed then or replayed long after.
"""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from pistats.clock import now_ms
from pistats.consumer.projection import Change, Projection
from pistats.consumer.reader import FramePart, RecordRange
from pistats.consumer.transform import Transform
from pistats.consumer.work import NO_WORK, VisitorMerge, Work
from pistats.live.feed import LiveFeed
from pistats.mongo.indexes import Database, ensure_group_indexes
from pistats.settings import ConsumerSettings, LiveSettings
from pistats.visitors.erasures import NOTICE_MS, REFRESH_MS
from pistats.visitors.retention import Cohort
from pistats.warehouse.chunk import decode_chunk
from pistats.warehouse.erase import request_erasure
from tests.warehouse_events import DAY_MS, NOON, SITE, some_events

ANN = (SITE, "ann")
TRANSFORM = Transform()
ERASED_TIME = NOON + 60_000
ASK = "ask the owner"


class Owner:
    """One partition's consumer without its log: what it gives is stored at once."""

    def __init__(self, group: Database, system: Database | None = None) -> None:
        self.now = NOON
        self._group = group
        self._projection = Projection(
            group, 0, ConsumerSettings(), LiveSettings(), lambda: self.now, duplicates=0, system=system
        )
        self._offset = 0

    async def consume(self, *payloads: bytes) -> list[dict[str, Any]]:
        """The enriched events that it left for the warehouse."""
        records = RecordRange(self._offset, list(payloads), [FramePart(self.now, len(payloads), 0)], caught_up=True)
        self._offset = records.end_offset
        change = await self._store(await self._projection.apply(await TRANSFORM.apply(0, records)))
        return [row for one in change.chunks for row in decode_chunk(one["data"], one["schema"]).to_pylist()]

    async def do(self, work: Work) -> Change:
        return await self._store(await self._projection.apply(None, work))

    async def _store(self, change: Change) -> Change:
        for name, documents in change.documents.items():
            for one in documents:
                await self._group[name].replace_one({"_id": one["_id"]}, one, upsert=True)
        for name, ids in change.removed.items():
            await self._group[name].delete_many({"_id": {"$in": list(ids)}})
        self._projection.committed()
        return change


def view(received_time: int, path: str, visitor_id: str = "ann") -> bytes:
    return orjson.dumps(
        {
            "site": SITE,
            "visitor_id": visitor_id,
            "received_time": received_time,
            "event_id": f"{visitor_id}{received_time}",
            "name": "page_view",
            "url": f"https://example.com/{path}",
        }
    )


LOG: Sequence[tuple[int, bytes | str]] = (
    (NOON - DAY_MS, view(NOON - DAY_MS, "yesterday")),
    (NOON, view(NOON, "bob", "bob")),
    (NOON, view(NOON, "before")),
    (ERASED_TIME - NOTICE_MS, "the tombstone"),
    (ERASED_TIME - 500, view(ERASED_TIME - 500, "meanwhile")),
    (ERASED_TIME + 1, view(ERASED_TIME + 1, "after")),
    (ERASED_TIME + 1, view(ERASED_TIME, "late to the log")),
    (ERASED_TIME + 5_000, view(ERASED_TIME + 5_000, "again")),
)


async def stored(group: Database) -> dict[str, Any]:
    """The visitors, and the cells that are not empty."""
    visitors = await group["visitors"].find({}, {"updated_at": 0}).sort("_id").to_list()
    cells = {
        (one["_id"]["granularity"], one["_id"]["cohort"]): Cohort(one["size"], one["returned"])
        async for one in group["retention"].find()
    }
    return {"visitors": visitors, "cells": {key: cell for key, cell in cells.items() if cell.size}}


@pytest.mark.parametrize("asked_at", range(4, len(LOG) + 1))
async def test_the_log_gives_the_same_whenever_the_owner_is_asked_and_in_a_replay(
    database: Database, asked_at: int
) -> None:
    replayed = database.client[f"{database.name}_replay"]
    await ensure_group_indexes(database, 3_600)
    owner, passed = Owner(database, database), []
    script = [*LOG[:asked_at], (LOG[asked_at - 1][0] + 400, ASK), *LOG[asked_at:]]
    try:
        for owner.now, step in script:
            if step == ASK:
                await owner.do(Work(erased=[ANN]))
            elif isinstance(step, bytes):
                passed += await owner.consume(step)
            else:
                await request_erasure(database, *ANN, lambda: owner.now)
        other = Owner(replayed, database)
        again = await other.consume(*(step for _, step in LOG if isinstance(step, bytes)))
        live, replay = await stored(database), await stored(replayed)
    finally:
        await database.client.drop_database(replayed.name)

    after = [event for event in passed if event["received_time"] > ERASED_TIME]
    assert [event["path"] for event in after] == ["/after", "/again"]
    assert {event["entry_page"] for event in after} == {"/after"}, "nothing of the former visitor is in it"
    assert [event["path"] for event in again] == ["/bob", "/after", "/again"]
    assert [event["session_id"] for event in after] == [event["session_id"] for event in again[1:]]
    assert live == replay
    ann = live["visitors"][0]
    assert (ann["_id"]["visitor_id"], ann["first_time"], len(ann["visits"])) == ("ann", ERASED_TIME + 1, 1)


async def test_a_tombstone_is_known_before_anything_that_is_received_after_it(database: Database) -> None:
    """However late the write is seen: one that took too long is repeated with a later time."""
    clock = iter([NOON, NOON + NOTICE_MS, NOON + NOTICE_MS, NOON + NOTICE_MS + 10])

    tombstone = await request_erasure(database, *ANN, lambda: next(clock))

    assert tombstone.erased_time == NOON + 2 * NOTICE_MS
    assert REFRESH_MS < NOTICE_MS


async def test_a_merge_by_someone_who_did_not_know_of_the_erasure_brings_nobody_back(database: Database) -> None:
    await ensure_group_indexes(database, 3_600)
    tombstone = await request_erasure(database, *ANN)
    owner = Owner(database, database)
    owner.now = now_ms()
    days = [NOON // DAY_MS - 30]

    def merge(visitor_id: str, known_time: int) -> VisitorMerge:
        return VisitorMerge(SITE, visitor_id, days[0] * DAY_MS, days, known_time)

    await owner.do(Work(merged=[merge("ann", tombstone.erased_time), merge("bob", 0)]))
    assert [one["_id"]["visitor_id"] for one in await database["visitors"].find().to_list()] == ["bob"]

    await owner.do(Work(merged=[merge("ann", tombstone.erased_time + 1)]))
    assert await database["visitors"].count_documents({"_id.visitor_id": "ann"}) == 1


@pytest.mark.parametrize("merged_first", [True, False])
async def test_a_backfill_of_who_came_back_stays_whether_it_or_the_request_to_erase_comes_first(
    database: Database, merged_first: bool
) -> None:
    await ensure_group_indexes(database, 3_600)
    owner = Owner(database, database)
    await owner.consume(view(NOON, "before"))
    tombstone = await request_erasure(database, *ANN, lambda: NOON)
    owner.now = tombstone.erased_time + 1_000
    day = NOON // DAY_MS + 1
    merge = Work(merged=[VisitorMerge(*ANN, day * DAY_MS, [day], tombstone.erased_time + 1)])
    erase = Work(erased=[ANN])

    for work in (merge, erase) if merged_first else (erase, merge):
        await owner.do(work)

    found = await stored(database)
    (ann,) = found["visitors"]
    assert (ann["first_time"], ann["first_day"]) == (day * DAY_MS, day)
    assert {cell.size for cell in found["cells"].values()} == {1}
    assert len(found["cells"]) == 3, "a day, a week and a month"


async def test_the_stored_feed_of_an_owner_that_has_just_started_forgets_the_visitor(database: Database) -> None:
    await ensure_group_indexes(database, 3_600)
    feed = LiveFeed(0)
    feed.fold(some_events(14))
    await database["feed"].insert_many(feed.documents())
    owner = Owner(database)
    owner.now = NOON + 60_000

    change = await owner.do(Work(erased=[(SITE, "visitor-3"), ("other", "visitor-3")]))

    (document,) = change.documents["feed"]
    assert document["_id"] == {"site": SITE, "partition": 0}
    shown = [event["visitor_id"] for event in document["events"]]
    assert shown == [f"visitor-{number % 7}" for number in range(14) if number % 7 != 3]
    assert {"site": SITE, "visitor_id": "visitor-3"} in change.removed["visitors"]


async def test_a_feed_without_the_visitor_is_left_alone(database: Database) -> None:
    await ensure_group_indexes(database, 3_600)

    change = await Owner(database).do(Work(erased=[(SITE, "nobody")]))

    assert change.documents["feed"] == []
    assert (await Owner(database).do(NO_WORK)).documents["visitors"] == []

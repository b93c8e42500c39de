"""History gives the same numbers from rollups as from events, whatever comes late."""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow.parquet as pq
import pytest

from pistats.clock import now_ms
from pistats.identity import bucket_of
from pistats.mongo.indexes import Database
from pistats.reports.answer import RollupFiles
from pistats.reports.history import GRANULARITIES, METRICS, Compare, HistoryQuery
from pistats.reports.history_answer import HistoryAnswer
from pistats.reports.retention import RetentionAnswer, RetentionQuery
from pistats.warehouse.ages import HOUR_MS
from pistats.warehouse.archive import Archive
from pistats.warehouse.compact import Compaction
from pistats.warehouse.engine import QueryEngine
from pistats.warehouse.manifest import Manifest
from pistats.warehouse.measures import DIMENSIONS
from pistats.warehouse.periods import SiteDays
from pistats.warehouse.rollup import Rollups, add_up, count_in_threads, units_of
from pistats.warehouse.rollup_files import RollupStore
from pistats.warehouse.source import EventSource
from pistats.warehouse.storage import Storage
from pistats.warehouse.sweep import Sweep
from tests.plain_history import Event, history
from tests.table_events import SITE, a_site, an_event
from tests.warehouse_events import ArchiveEvents, DeathError, chunk_document, files_on_disk

FIRST = date(2026, 10, 19)
"""A Monday; clocks in Berlin go back on the 25th."""
NOW = int(datetime(2026, 11, 4, 15, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
BERLIN = a_site("Europe/Berlin")


def some_events(count: int, seed: int, first: int = 0, days: tuple[int, int] = (0, 16)) -> list[Event]:
    """Random events; many shortly before and after midnight."""
    rng = random.Random(seed)
    start = int(datetime(2026, 10, 19, tzinfo=UTC).timestamp() * 1000)
    found = []
    for number in range(first, first + count):
        day = rng.randrange(*days)
        time = start + day * DAY_MS + rng.choice((rng.randrange(DAY_MS), rng.randrange(-90, 90) * 60_000))
        time = min(time, NOW - 1)
        arrives = rng.random() < 0.3
        found.append(
            an_event(
                number,
                event_time=time,
                received_time=NOW,
                visitor_id=f"v{rng.randrange(25)}",
                name=rng.choice(("page_view", "page_view", "page_view", "engagement", "buy")),
                path=rng.choice(("/", "/a", "/b'; --", None)),
                channel=rng.choice(("Direct", "Search")) if arrives else None,
                source=rng.choice(("google", None)) if arrives else None,
                campaign=rng.choice(("c1", None)) if arrives else None,
                country=rng.choice(("IN", "US", None)),
                device=rng.choice(("mobile", "desktop")),
                browser=rng.choice(("Chrome", None)),
                os=rng.choice(("Android", "Linux")),
                language=rng.choice(("en", "hi", None)),
                is_bot=rng.random() < 0.1,
                properties={"engaged_ms": 1_000},
            )
        )
    return found


@pytest.fixture
def engine() -> Iterator[QueryEngine]:
    engine = QueryEngine(threads=1, niceness=0)
    yield engine
    engine.close()


@pytest.fixture
def store(group: Database) -> RollupStore:
    return RollupStore(group)


@pytest.fixture
def storage(root: str) -> Storage:
    return Storage(root)


@pytest.fixture
def rollups(store: RollupStore, source: EventSource, storage: Storage) -> Rollups:
    return Rollups(store, source, storage, "live", "run", lambda: NOW)


@pytest.fixture
def plain(source: EventSource, engine: QueryEngine) -> HistoryAnswer:
    """Answers from events alone."""
    return HistoryAnswer(source, engine, lambda: NOW)


@pytest.fixture
def quick(source: EventSource, engine: QueryEngine, store: RollupStore, storage: Storage) -> HistoryAnswer:
    """Answers from rollups, too."""
    return HistoryAnswer(source, engine, lambda: NOW, RollupFiles(store, storage))


async def count_all(rollups: Rollups) -> int:
    """Make every rollup that is to be made; how many were."""
    return await rollups.run(BERLIN, await rollups.days_to_count(BERLIN))


QUESTIONS: list[dict[str, Any]] = [
    *({"by": ("time",), "granularity": granularity, "metrics": METRICS} for granularity in GRANULARITIES),
    *({"by": ("event", "time"), "granularity": granularity, "metrics": METRICS} for granularity in ("hour", "week")),
    *({"by": (by,), "metrics": METRICS} for by in ("page", "exit_page", "source", "language")),
    {"by": ("page",), "metrics": ("views", "sessions")},
    {"by": (), "metrics": METRICS},
]
COMPARED: tuple[tuple[date, date, Compare], ...] = (
    (date(2026, 11, 4), date(2026, 11, 4), "previous"),
    (date(2026, 10, 29), date(2026, 11, 4), "previous"),
    (date(2026, 11, 1), date(2026, 11, 30), "previous_month"),
    (date(2026, 10, 27), date(2026, 11, 4), "previous"),
)
"""Ranges with today in them. The last one is compared with days that have the change of the clocks among them."""
RANGES = (
    (FIRST, FIRST + timedelta(days=16)),
    (date(2026, 10, 1), date(2026, 10, 31)),
    (date(2026, 10, 19), date(2026, 10, 25)),
    (date(2026, 10, 24), date(2026, 10, 24)),
)


EVERY_QUESTION = [(question, RANGES[0]) for question in QUESTIONS]
EVERY_RANGE = [(question, RANGES[1 + number % 3]) for number, question in enumerate(QUESTIONS)]
"""Each of the other ranges with a third of the questions."""


async def assert_same_both_ways(plain: HistoryAnswer, quick: HistoryAnswer, asked: Any = EVERY_QUESTION) -> None:
    for question, (from_date, to_date) in asked:
        query = HistoryQuery(from_date=from_date, to_date=to_date, **question)
        expected, found = await plain.of(BERLIN, query), await quick.of(BERLIN, query)
        assert found.totals == pytest.approx(expected.totals), query
        assert [row[: len(query.by)] for row in found.rows] == [row[: len(query.by)] for row in expected.rows]
        for one, other in zip(found.rows, expected.rows, strict=True):
            assert one[len(query.by) :] == pytest.approx(other[len(query.by) :]), query


async def test_the_same_numbers_from_rollups_as_from_events(
    group: Database,
    store: RollupStore,
    plain: HistoryAnswer,
    quick: HistoryAnswer,
    rollups: Rollups,
    archive: ArchiveEvents,
    new_archive: Callable[..., Archive],
) -> None:
    events = some_events(1_500, seed=1)
    await archive(events)

    written = await count_all(rollups)

    days = await store.find(SITE, "day", FIRST, FIRST + timedelta(days=20))
    assert set(days) >= {FIRST + timedelta(days=number) for number in range(1, 16)}
    assert len(await store.find(SITE, "month", date(2026, 10, 1), FIRST)) == 1
    assert written > 18
    await assert_same_both_ways(plain, quick, EVERY_QUESTION + EVERY_RANGE)
    assert await count_all(rollups) == 0, "a second run changes nothing"

    # Late events, still waiting: some join sessions across midnight.
    late = some_events(40, seed=2, first=2_000, days=(3, 6))
    await group["chunks"].insert_one(chunk_document(late))
    await assert_same_both_ways(plain, quick)

    # And archived, with the rollups not yet made again.
    await new_archive().run(lambda _: None)
    await assert_same_both_ways(plain, quick, EVERY_QUESTION[::2])

    assert await count_all(rollups) > 0
    await assert_same_both_ways(plain, quick)
    everything = [*events, *late]
    month = history(everything, "Europe/Berlin", "2026-10-01", "2026-10-31", ("page",))
    query = HistoryQuery(
        from_date=date(2026, 10, 1),
        to_date=date(2026, 10, 31),
        by=("page",),
        granularity="month",
        metrics=("visitors",),
    )
    assert {row[0]: row[1] for row in (await quick.of(BERLIN, query)).rows} == {
        key[0]: values["visitors"] for key, values in month.items() if values["events"]
    }


async def test_a_range_under_way_is_compared_with_as_much_of_the_one_before(
    plain: HistoryAnswer, quick: HistoryAnswer, rollups: Rollups, archive: ArchiveEvents
) -> None:
    events = [event for event in some_events(900, seed=4, days=(-20, 16)) if event["event_time"] < NOW]
    await archive(events)
    await count_all(rollups)
    for from_date, to_date, compare in COMPARED:
        query = HistoryQuery(from_date=from_date, to_date=to_date, metrics=METRICS, compare=compare)
        expected = (await plain.of(BERLIN, query)).comparison
        found = (await quick.of(BERLIN, query)).comparison
        assert expected is not None
        assert found is not None
        assert expected.until is not None
        until = datetime.fromtimestamp(expected.until / 1000, ZoneInfo("Europe/Berlin"))
        assert (until.hour, until.date()) == (16, date(2026, 10, 4) if compare != "previous" else until.date())
        before = [event for event in events if event["event_time"] < expected.until]
        first, last = expected.from_date.isoformat(), expected.to_date.isoformat()
        model = history(before, "Europe/Berlin", first, last, ())[()]
        assert expected.totals == pytest.approx({metric: model[metric] for metric in METRICS}), query
        assert found.totals == pytest.approx(expected.totals), query
        assert found.until == expected.until
        # The rows are of whole days: what is to come stands beside what is not there yet.
        whole = history(events, "Europe/Berlin", first, last, ("time",))
        visitors = [one["visitors"] for _, one in sorted(whole.items()) if one["events"]]
        assert [row[1] for row in found.rows if row[4]] == visitors


async def test_a_month_by_page_reads_no_event(
    storage: Storage, quick: HistoryAnswer, rollups: Rollups, archive: ArchiveEvents
) -> None:
    await archive(some_events(300, seed=3))
    await count_all(rollups)
    query = HistoryQuery(
        from_date=date(2026, 10, 1), to_date=date(2026, 10, 31), by=("page",), granularity="month", metrics=METRICS
    )
    free = replace(query, from_date=date(2026, 10, 20), to_date=date(2026, 10, 30))
    by_week = replace(free, by=("time", "page"), granularity="week")
    expected = [await quick.of(BERLIN, one) for one in (query, free, by_week)]

    storage.delete_folder("live")

    assert [await quick.of(BERLIN, one) for one in (query, free, by_week)] == expected
    daily = HistoryQuery(from_date=date(2026, 10, 20), to_date=date(2026, 10, 30), by=("time",), metrics=METRICS)
    assert (await quick.of(BERLIN, daily)).totals["visitors"] == 25


async def test_a_dropped_group_leaves_neither_events_nor_rollups(
    group: Database, storage: Storage, rollups: Rollups, archive: ArchiveEvents
) -> None:
    await archive(some_events(100, seed=3, days=(8, 10)))
    await count_all(rollups)
    with storage.create("other/file") as file:
        file.write(b"of another group")
    assert len(storage.list("")) > 2

    storage.delete_group("live")
    storage.delete_group("live")

    assert [file.path for file in storage.list("")] == ["other/file"]


async def test_a_run_that_dies_leaves_garbage_that_is_swept(
    group: Database,
    root: str,
    storage: Storage,
    store: RollupStore,
    rollups: Rollups,
    archive: ArchiveEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await archive(some_events(100, seed=3, days=(0, 2)))
    days = await rollups.days_to_count(BERLIN)

    async def die(*_: Any) -> None:
        raise DeathError

    with monkeypatch.context() as patch:
        patch.setattr(RollupStore, "put", die)
        with pytest.raises(DeathError):
            await rollups.run(BERLIN, days)
    await rollups.run(BERLIN, days)
    listed = await store.paths() | {file.path for file in await Manifest(group).files()}
    assert listed < files_on_disk(root)

    swept = await Sweep(group, storage, "live", grace_s=60, clock=lambda: now_ms() + 25 * HOUR_MS).run()

    assert swept.garbage == 2
    assert files_on_disk(root) == listed


async def test_marks_go_when_their_days_are_counted_and_stay_when_they_were_made_again(
    group: Database,
    store: RollupStore,
    plain: HistoryAnswer,
    quick: HistoryAnswer,
    rollups: Rollups,
    archive: ArchiveEvents,
) -> None:
    await archive(some_events(300, seed=4))
    before = await store.marks(SITE)

    await count_all(rollups)

    kept = await store.marks(SITE)
    assert set(before) - set(kept) >= {"2026-10-20", "2026-10-30"}
    assert kept.keys() >= {"2026-11-03"}, "its day's neighbours are not over yet"
    await store.clear(SITE, dict.fromkeys(kept, "another version"))
    assert await store.marks(SITE) == kept

    # A day whose files are of the first format: its visitors by page come from events, until it is counted again.
    day = FIRST + timedelta(days=3)
    key = {"_id.granularity": "day", "_id.start": day.isoformat()}
    await group["rollups"].update_one(key, {"$unset": {"format": 1}})
    query = HistoryQuery(from_date=FIRST, to_date=FIRST + timedelta(days=8), metrics=METRICS, by=("page",))
    assert await quick.of(BERLIN, query) == await plain.of(BERLIN, query)
    days = await rollups.days_to_count(BERLIN)
    assert day in days
    await rollups.run(BERLIN, days)
    assert (await store.find(SITE, "day", day, day))[day].has_seen
    assert await quick.of(BERLIN, query) == await plain.of(BERLIN, query)


async def test_parts_of_a_period_add_up(source: EventSource, archive: ArchiveEvents) -> None:
    await archive(some_events(400, seed=5, days=(0, 2)))
    days = SiteDays("Europe/Berlin", FIRST, FIRST)
    events = await source.events(SITE, days.from_ms - DAY_MS, days.to_ms + DAY_MS)
    [unit] = units_of(events, days)

    # In a thread: the connection to MongoDB wants to be looked after meanwhile.
    whole = add_up(FIRST, await asyncio.to_thread(count_in_threads, [unit]))
    units = [replace(unit, buckets=(low, low + 7)) for low in range(0, 64, 8)]
    parts = add_up(FIRST, await asyncio.to_thread(count_in_threads, units))

    assert parts.sums.equals(whole.sums)
    assert parts.visitors.equals(whole.visitors)
    assert parts.last_end == whole.last_end
    with duckdb.connect() as connection:
        connection.register("sums", whole.sums)
        dimensions = connection.execute("SELECT DISTINCT dimension FROM sums").fetchall()
    assert {one for (one,) in dimensions} == {"", *DIMENSIONS}
    assert whole.visitors.to_pylist()[0]["bucket"] == bucket_of(SITE, whole.visitors.to_pylist()[0]["visitor_id"])


async def test_a_rollup_outlives_its_events(
    group: Database, root: str, store: RollupStore, quick: HistoryAnswer, rollups: Rollups, archive: ArchiveEvents
) -> None:
    await archive(some_events(300, seed=6))
    await count_all(rollups)
    query = HistoryQuery(from_date=FIRST + timedelta(days=1), to_date=FIRST + timedelta(days=4), metrics=METRICS)
    before = await quick.of(BERLIN, query)

    await group["files"].delete_many({"date": {"$lte": "2026-10-26"}})
    async with group.client.start_session() as session, await session.start_transaction():
        await Manifest(group).mark_dirty([(SITE, "2026-10-21")], session)
    oldest = FIRST + timedelta(days=10)
    days = await rollups.days_to_count(BERLIN, oldest=oldest)
    await rollups.run(BERLIN, days, oldest=oldest)

    assert before.totals["events"] > 50
    assert await quick.of(BERLIN, query) == before
    left = await store.find(SITE, "day", FIRST, oldest + timedelta(days=1))
    assert {one.start for one in left.values() if one.has_seen} == {oldest, oldest + timedelta(days=1)}
    for one in left.values():
        names = pq.read_schema(Path(root) / str(one.visitors_path)).names
        assert ("page" in names) == one.has_seen, "what a visitor has seen goes with the events"
    assert min(await rollups.days_to_count(BERLIN, oldest=oldest)) >= FIRST + timedelta(days=10)


async def test_the_first_event_ever_is_known_when_it_is_gone(
    group: Database,
    source: EventSource,
    storage: Storage,
    store: RollupStore,
    engine: QueryEngine,
    rollups: Rollups,
    archive: ArchiveEvents,
) -> None:
    await archive(some_events(150, seed=8))
    await count_all(rollups)
    quick = RetentionAnswer(source, engine, lambda: NOW, RollupFiles(store, storage))
    plain = RetentionAnswer(source, engine, lambda: NOW)
    queries = [
        RetentionQuery(from_date=FIRST, to_date=date(2026, 11, 4), granularity=granularity, mode=mode)
        for granularity in ("day", "week", "month")
        for mode in ("first", "recurring")
    ]
    before = [await plain.of(BERLIN, query) for query in queries]
    assert [await quick.of(BERLIN, query) for query in queries] == before

    await group["files"].delete_many({"date": {"$lte": "2026-10-28"}})

    assert [await quick.of(BERLIN, query) for query in queries] == before
    assert await plain.of(BERLIN, queries[0]) != before[0]


async def test_compaction_makes_no_rollup_stale(
    group: Database,
    store: RollupStore,
    rollups: Rollups,
    archive: ArchiveEvents,
    new_compaction: Callable[..., Compaction],
) -> None:
    day = date(2026, 10, 27)
    start = int(datetime(2026, 10, 26, 23, tzinfo=UTC).timestamp() * 1000)
    for number in range(4):  # sessions over midnight, then the next day's events, archived bit by bit
        times = [start + DAY_MS + (number - 1) * 600_000 + second * 1_000 for second in range(60)]
        await archive(
            [an_event(number * 100 + at, event_time=time, visitor_id=f"v{at}") for at, time in enumerate(times)]
        )
    await rollups.run(BERLIN, [day])
    [before] = (await store.find(SITE, "day", day, day)).values()
    await group["files"].update_many({}, {"$set": {"created_at": datetime(2026, 1, 1, tzinfo=UTC)}})
    files = await group["files"].count_documents({})

    await new_compaction().run()
    async with group.client.start_session() as session, await session.start_transaction():
        await Manifest(group).mark_dirty([(SITE, "2026-10-28")], session)

    assert await group["files"].count_documents({}) < files
    await rollups.run(BERLIN, [day])
    assert (await store.find(SITE, "day", day, day)) == {day: before}

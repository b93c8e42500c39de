"""The ledger as readers get it: what was appended, what became of it, and whether both sums come out."""

from dataclasses import replace
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.consumer.tally import Tally, update_of
from pistats.errors import QueryError
from pistats.mongo.indexes import ensure_group_indexes
from pistats.reports.ledger import LedgerRow, ledger_rows, totals

Database = AsyncDatabase[dict[str, Any]]
MINUTE = 60_000
NOW = 1_764_000_000_000 - 1_764_000_000_000 % MINUTE


@pytest.fixture
async def group(database: Database) -> Database:
    await ensure_group_indexes(database, 3_600)
    return database


async def count(group: Database, partition: int, minute: int, tally: Tally) -> None:
    """As a commit does it."""
    await group["ledger"].update_one({"_id": {"partition": partition, "minute": minute}}, update_of(tally), upsert=True)


async def wait_in_outbox(group: Database, partition: int, first_offset: int, *minutes: list[int]) -> None:
    events = sum(count for _, count in minutes)
    key = {"partition": partition, "first_offset": first_offset}
    await group["chunks"].insert_one(
        {"_id": key, "end_offset": first_offset + events, "events": events, "minutes": list(minutes), "data": b"x"}
    )


async def archive(group: Database, partition: int, minute: int, events: int) -> None:
    await group["archived"].insert_one({"_id": {"partition": partition, "minute": minute}, "events": events})


async def test_rows_balance_when_every_record_became_something(group: Database) -> None:
    await count(group, 0, NOW, Tally(enriched=6, bots=1, first_offset=100, end_offset=107))
    await count(
        group, 0, NOW, Tally(enriched=1, dead_lettered=1, erased=1, duplicates=4, first_offset=107, end_offset=110)
    )
    await count(group, 1, NOW, Tally(enriched=3, first_offset=0, end_offset=3))
    await archive(group, 0, NOW, 5)
    await wait_in_outbox(group, 0, 105, [NOW, 3])
    await wait_in_outbox(group, 1, 0, [NOW, 3])

    rows = await ledger_rows(group, NOW, NOW + MINUTE)

    assert rows == [
        LedgerRow(0, NOW, 10, 4, 7, 1, 1, 1, archived=5, waiting=3),
        LedgerRow(1, NOW, 3, 0, 3, 0, 0, 0, archived=0, waiting=3),
    ]
    assert all(row.balanced for row in rows)
    assert totals(rows) == {
        "appended": 13,
        "duplicates": 4,
        "enriched": 10,
        "bots": 1,
        "dead_lettered": 1,
        "erased": 1,
        "archived": 5,
        "waiting": 6,
        "skipped": 0,
    }


async def test_a_flush_that_vanished_shows_within_its_minute_and_between_minutes(group: Database) -> None:
    await count(group, 0, NOW, Tally(bots=5, first_offset=0, end_offset=5))
    await count(group, 0, NOW, Tally(bots=5, first_offset=8, end_offset=13))
    await count(group, 0, NOW + MINUTE, Tally(bots=7, first_offset=15, end_offset=22))
    await archive(group, 0, NOW, 10)
    await archive(group, 0, NOW + MINUTE, 7)

    both = await ledger_rows(group, NOW, NOW + 2 * MINUTE)
    second = await ledger_rows(group, NOW + MINUTE, NOW + 2 * MINUTE)

    assert [(row.appended, row.skipped, row.difference) for row in both] == [(13, 0, 3), (9, 2, 2)]
    assert second == both[1:]  # what came before the range is looked at, too


async def test_what_was_counted_twice_or_archived_twice_shows(group: Database) -> None:
    await count(group, 0, NOW, Tally(enriched=5, first_offset=0, end_offset=5))
    await count(group, 0, NOW, Tally(enriched=5, first_offset=0, end_offset=5))
    await archive(group, 0, NOW, 11)

    (row,) = await ledger_rows(group, NOW, NOW + MINUTE)

    assert (row.difference, row.unarchived, row.balanced) == (-5, -1, False)


async def test_a_replayed_dead_letter_balances(group: Database) -> None:
    await count(group, 0, NOW, Tally(enriched=4, dead_lettered=1, first_offset=0, end_offset=5))
    await wait_in_outbox(group, 0, 0, [NOW, 2])
    await wait_in_outbox(group, 0, 3, [NOW, 2])
    await count(group, 0, NOW, Tally(enriched=1, dead_lettered=-1))
    await wait_in_outbox(group, 0, 2, [NOW, 1])

    (row,) = await ledger_rows(group, NOW, NOW + MINUTE)

    assert (row.enriched, row.dead_lettered, row.waiting, row.balanced) == (5, 0, 5, True)


async def test_a_chunk_that_reaches_into_the_range_counts_there(group: Database) -> None:
    await count(group, 0, NOW, Tally(enriched=4, first_offset=0, end_offset=4))
    await count(group, 0, NOW + MINUTE, Tally(enriched=3, first_offset=4, end_offset=7))
    await wait_in_outbox(group, 0, 0, [NOW, 4], [NOW + MINUTE, 3])

    first = await ledger_rows(group, NOW, NOW + MINUTE)
    second = await ledger_rows(group, NOW + MINUTE, NOW + 2 * MINUTE)

    assert [row.waiting for row in first + second] == [4, 3]
    assert all(row.balanced for row in first + second)


async def test_a_replayed_dead_letter_hides_no_chunk_that_reaches_into_the_range(group: Database) -> None:
    await count(group, 0, NOW, Tally(enriched=3, dead_lettered=1, first_offset=0, end_offset=4))
    await count(group, 0, NOW + MINUTE, Tally(enriched=3, first_offset=4, end_offset=7))
    await wait_in_outbox(group, 0, 0, [NOW, 3], [NOW + MINUTE, 3])
    await count(group, 0, NOW, Tally(enriched=1, dead_lettered=-1))
    await wait_in_outbox(group, 0, 2, [NOW, 1])

    (row,) = await ledger_rows(group, NOW + MINUTE, NOW + 2 * MINUTE)

    assert (row.waiting, row.balanced) == (3, True)


async def test_too_many_rows_are_refused_and_the_message_says_what_to_do(group: Database) -> None:
    for number in range(3):
        await count(group, 0, NOW + number * MINUTE, Tally(bots=1, first_offset=number, end_offset=number + 1))

    assert len(await ledger_rows(group, NOW, NOW + 10 * MINUTE, max_rows=3)) == 3
    with pytest.raises(QueryError, match="fewer days"):
        await ledger_rows(group, NOW, NOW + 10 * MINUTE, max_rows=2)


async def test_rows_of_the_first_versions_have_no_offsets(group: Database) -> None:
    await group["ledger"].insert_one(
        {"_id": {"partition": 0, "minute": NOW}, "consumed": 3, "enriched": 2, "bots": 1, "dead_lettered": 0}
    )

    (row,) = await ledger_rows(group, NOW, NOW + MINUTE)

    assert row == replace(row, appended=3, enriched=2, bots=1, erased=0, duplicates=0)
    assert row.difference == 0

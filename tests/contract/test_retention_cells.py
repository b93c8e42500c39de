"""Retention from cells: the numbers of the report that counts events, added up over partitions."""

from datetime import date
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.reports.retention import RetentionQuery
from pistats.reports.retention_cells import CellsAnswer, is_counted
from tests.table_events import SITE, TableSource, a_site

Database = AsyncDatabase[dict[str, Any]]
FIRST, LAST = date(2026, 11, 9), date(2026, 11, 24)
NOON = 1_795_521_600_000
"""2026-11-24T12:00:00Z."""


def cells(cohort: str, partition: int, size: int, *returned: int, site: str = SITE) -> dict[str, Any]:
    key = {"site": site, "granularity": "week", "cohort": cohort, "partition": partition}
    return {"_id": key, "size": size, "returned": list(returned)}


async def test_cells_of_partitions_add_up(database: Database) -> None:
    await database.retention.insert_many(
        [
            cells("2026-11-09", 0, 10, 10, 4, 1),
            cells("2026-11-09", 1, 5, 5, 1),
            cells("2026-11-23", 0, 3, 3),
            cells("2026-11-09", 0, 99, 99, site="other"),
            cells("2026-11-02", 0, 99, 99),
        ]
    )
    source = TableSource([], complete_through=NOON - 1_000)
    query = RetentionQuery(from_date=FIRST, to_date=LAST, granularity="week")
    report = await CellsAnswer(source, database, lambda: NOON).of(a_site(), query)
    assert report.complete_through == NOON - 1_000
    assert [(row.start, row.size, row.returned) for row in report.cohorts] == [
        (date(2026, 11, 9), 15, (15, 5, 1)),
        (date(2026, 11, 16), 0, (0, 0)),
        (date(2026, 11, 23), 3, (3,)),
    ]
    assert [row.complete for row in report.cohorts] == [(True, True, False), (True, False), (False,)]


@pytest.mark.parametrize(
    "more",
    [
        {"mode": "recurring"},
        {"returns": "on_or_after"},
        {"event": "buy"},
        {"return_event": "buy"},
        {"week_start": "sunday"},
    ],
)
def test_other_questions_are_not_for_the_cells(more: dict[str, Any]) -> None:
    assert is_counted(RetentionQuery(from_date=FIRST, to_date=LAST))
    assert not is_counted(RetentionQuery(from_date=FIRST, to_date=LAST, **more))

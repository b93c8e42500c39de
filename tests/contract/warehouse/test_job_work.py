"""The work of the rollup, retention and parity jobs, as their shells call it, on a small site: without Ray."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobs.parity import parity
from jobs.retention import retention
from jobs.rollup import rollup
from pistats.errors import FinalError
from pistats.jobs.arguments import JobArguments
from pistats.jobs.job import Job
from pistats.jobs.progress import Progress
from pistats.jobs.runs import result_lines
from pistats.live.fold import LiveBuckets
from pistats.mongo.indexes import Database
from pistats.settings import Settings, WarehouseSettings
from pistats.sites import SiteStore
from pistats.visitors.retention import RetentionCells
from pistats.visitors.visitors import Visitors
from pistats.visitors.zones import LocalDays
from tests.plain_history import Event
from tests.table_events import SITE, an_event
from tests.warehouse_events import ArchiveEvents

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


def day_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
async def events(group: Database, system: Database, archive: ArchiveEvents) -> list[Event]:
    """Events of the last ten days, archived, and counted live as a consumer does."""
    await SiteStore(system).add(SITE)
    found = []
    for number in range(400):
        time = day_ms(YESTERDAY - timedelta(days=9 - number // 40)) + number % 40 * 1_300_000
        found.append(
            an_event(
                number,
                event_time=time,
                received_time=time,
                visitor_id=f"v{number % 13}",
                path="/",
                is_bot=number % 9 == 0,
            )
        )
    await archive(found)
    visitors, cells, buckets = (
        Visitors(0, lambda _: LocalDays(ZoneInfo("UTC")), 1_000),
        RetentionCells(0),
        LiveBuckets(0),
    )
    visitors.fold([{**event} for event in found])
    cells.fold(visitors.changes())
    buckets.fold([{**event} for event in found])
    await group["retention"].insert_many(cells.documents())
    await group["minutes"].insert_many(buckets.documents())
    return found


@pytest.fixture
def job(group: Database, system: Database, root: str, tmp_path: Path) -> Callable[..., Job]:
    def make(**arguments: Any) -> Job:
        settings = Settings(data=tmp_path, warehouse=WarehouseSettings(root=root))
        return Job(settings, "", JobArguments(**arguments), "run", system, group, "live", Progress())

    return make


async def test_rollup_then_retention_agrees_with_real_time(
    group: Database, events: list[Event], job: Callable[..., Job]
) -> None:
    first = await rollup(job())
    second = await rollup(job())
    assert first["rollups"] >= 10
    assert second["rollups"] == 0

    agreed = await retention(job(options=("--verify",)))
    assert (agreed["differences"], agreed["different"]) == (0, [])
    assert agreed["cells"] >= 13

    oldest = (YESTERDAY - timedelta(days=9)).isoformat()
    cell = {"_id.granularity": "day", "_id.cohort": oldest}
    await group["retention"].update_one(cell, {"$inc": {"size": 1}})
    differ = {"live": await retention(job(options=("--verify",)))}
    assert [*result_lines(differ)] == [
        f'live: {{"cells": {agreed["cells"]}, "differences": 1}}',
        f"news: day cohort {oldest}, size: 13 in the warehouse, 14 in real time",
    ]


async def test_parity_of_closed_days(group: Database, events: list[Event], job: Callable[..., Job]) -> None:
    days = {"from_date": YESTERDAY - timedelta(days=3), "to_date": YESTERDAY}
    assert await parity(job(**days)) == {"days": 4, "differences_by_erasure": 0}

    await group["minutes"].update_one({"_id.minute": day_ms(YESTERDAY)}, {"$inc": {"views": 1}})
    with pytest.raises(
        FinalError, match=f"{YESTERDAY}: 1 numbers differ. The first: {SITE}, {YESTERDAY}T00:00Z, views"
    ):
        await parity(job(**days))

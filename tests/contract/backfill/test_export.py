"""What was imported comes out again, and what was exported can be imported."""

from collections import Counter
from datetime import date
from pathlib import Path

import orjson
import pytest

from pistats.enrich.event import FIELDS, EnrichedEvent
from pistats.reports.export import Export, bucket_ranges
from pistats.sites import SiteStore
from pistats.warehouse.engine import QueryEngine
from tests.contract.backfill.conftest import SITE, ImportSystem

FIRST, LAST = date(2015, 5, 16), date(2015, 5, 21)


async def exported(imports: ImportSystem, slice_events: int) -> list[EnrichedEvent]:
    site = await SiteStore(imports.system).get(SITE)
    assert site is not None
    export = Export(imports.source(), QueryEngine(niceness=0), slice_events)
    parts = [part async for part in export.slices(site, FIRST, LAST)]
    assert Counter(part.day for part in parts if part.last_of_day) == dict.fromkeys(
        (date(2015, 5, day) for day in range(16, 22)), 1
    )
    for part in parts:
        times = [event["event_time"] for event in part.events]
        assert times == sorted(times)
    return [event for part in parts for event in part.events]


def events_file(tmp_path: Path) -> Path:
    """Three visitors on three days, sessions across midnight of the site's zone."""
    start = 1431813600000  # 2015-05-17T00:00 in Berlin
    lines = [
        {
            "name": "page_view",
            "url": f"https://example.com/{number % 5}",
            "visitor_id": f"v{number % 3}",
            "time": start - 600_000 + number * 400_000,
            "properties": {"n": number},
        }
        for number in range(500)
    ]
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
    return file


async def test_every_event_comes_out_once_however_it_is_cut(imports: ImportSystem, tmp_path: Path) -> None:
    await imports.run(events_file(tmp_path), "ndjson")
    whole = await exported(imports, 1_000_000)
    cut = await exported(imports, 20)
    assert len(whole) == 500
    assert set(whole[0]) == set(FIELDS)
    assert all(event["session_id"] for event in whole)
    by_id = {event["event_id"]: event for event in whole}
    assert {event["event_id"]: event for event in cut} == by_id
    assert len(cut) == 500


async def test_an_export_can_be_imported(imports: ImportSystem, tmp_path: Path) -> None:
    await imports.run(events_file(tmp_path), "ndjson")
    before = await exported(imports, 1_000_000)
    file = tmp_path / "export.ndjson"
    file.write_bytes(b"".join(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in before))
    for name in ("files", "imports", "requests", "dirty_dates"):
        await imports.live[name].delete_many({})

    report = await imports.run(file, "ndjson")

    assert (report.events, report.bad) == (500, 0)
    after = await exported(imports, 1_000_000)
    found_again = {name for name in FIELDS if name not in ("offset", "partition")}
    assert [{name: event[name] for name in found_again} for event in after] == [
        {name: event[name] for name in found_again} for event in before
    ]


@pytest.mark.parametrize(
    ("counts", "ranges"),
    [
        ([], []),
        ([(5, 3)], [(0, 63)]),
        ([(0, 5), (1, 5), (7, 5)], [(0, 1), (7, 7)]),
        ([(0, 50), (1, 5), (2, 5)], [(0, 0), (1, 2)]),
    ],
)
def test_buckets_are_grouped_without_cutting_one(counts: list[tuple[int, int]], ranges: list[tuple[int, int]]) -> None:
    assert bucket_ranges(counts, 10) == ranges

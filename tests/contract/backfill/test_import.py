"""Imports into a real MongoDB and real files: once per content, whatever dies, and what reports then say."""

import gzip
import os
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from pistats.backfill.lock import ImportLock
from pistats.backfill.rows import BadLine
from pistats.backfill.unit import Unit
from pistats.consumer.groups import Groups
from pistats.errors import ConfigurationError, UnavailableError
from pistats.identity import bucket_of
from pistats.mongo.indexes import Database
from pistats.mongo.sessions import transaction
from pistats.reports.history import HistoryQuery
from pistats.reports.reports import Reports
from pistats.sites import SiteStore
from pistats.topology import load_topology
from pistats.warehouse.engine import QueryEngine
from tests.contract.backfill.conftest import SITE, ImportSystem

LOG = Path(__file__).parents[4] / "shared" / "data" / "apache_access_2015.log.gz"
"""10,000 lines in combined format. Kept beside the repository, not in it."""
YEARS = (1_400_000_000_000, 1_500_000_000_000)

RAW = r"""
    CREATE TABLE raw AS SELECT * FROM (
        SELECT regexp_extract(line, '^(\S+) ', 1) AS ip,
               strptime(regexp_extract(line, '\[([^\]]+)\]', 1), '%d/%b/%Y:%H:%M:%S %z') AS time,
               regexp_extract(line, '"[A-Z]+ (\S+)', 1) AS target,
               regexp_extract(line, '" \d+ \S+ "(?:[^"]*)" "([^"]*)"', 1) AS agent, line
        FROM read_csv($file, columns = {'line': 'VARCHAR'}, delim = '\x01', quote = '', escape = '', header = false))
    WHERE ends_with(trim(line), '"')"""


@pytest.fixture
def log() -> Path:
    if not LOG.exists():
        reason = f"The access log is not on this machine: put it at {LOG}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return LOG


async def events(imports: ImportSystem, sql: str, group: str = "live") -> list[tuple[Any, ...]]:
    """The answer of DuckDB from the events of the site."""
    found = await imports.source(group).events(SITE, *YEARS)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found.register(connection)
        return connection.execute(sql).fetchall()


def raw(log: Path, sql: str) -> list[tuple[Any, ...]]:
    """The answer of DuckDB from the lines of the file, without anything of ours."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(RAW, {"file": str(log)})
        return connection.execute(sql).fetchall()


def content(log: Path) -> bytes:
    return gzip.decompress(log.read_bytes())


async def state(imports: ImportSystem) -> dict[str, list[dict[str, Any]]]:
    """Everything that an import writes."""
    return {
        name: [one async for one in imports.live[name].find().sort("_id")]
        for name in ("files", "imports", "requests", "dirty_dates")
    }


class KilledError(Exception):
    """Stands for the end of the process."""


async def test_a_real_log_gives_the_numbers_of_its_lines(imports: ImportSystem, log: Path) -> None:
    kept: list[tuple[BadLine, bytes]] = []
    report = await imports.run(log, "combined", on_bad=lambda line, content: kept.append((line, content)))

    assert (report.lines, report.events, report.bad, report.skipped) == (10_000, 9_999, 1, 0)
    assert [(line.number, line.reason) for line, _ in kept] == [(8899, "a quoted field has no closing quote")]
    assert kept[0][1] == content(log).split(b"\n")[8898]
    day = "time_bucket(INTERVAL 1 DAY, time)::DATE"
    event_day = "(make_timestamp_ms(event_time))::DATE"
    assert await events(imports, f"SELECT {event_day}, count(*) FROM events GROUP BY 1 ORDER BY 1") == raw(
        log, f"SELECT {day}, count(*) FROM raw GROUP BY 1 ORDER BY 1"
    )
    assert await events(
        imports, f"SELECT {event_day}, count(DISTINCT visitor_id) FROM events GROUP BY 1 ORDER BY 1"
    ) == raw(log, f"SELECT {day}, count(DISTINCT (ip, agent)) FROM raw GROUP BY 1 ORDER BY 1")
    assert await events(
        imports, "SELECT split_part(url, 'example.com', 2), count(*) FROM events GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 25"
    ) == raw(log, "SELECT target, count(*) FROM raw GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 25")


async def test_importing_again_changes_nothing(imports: ImportSystem, log: Path, tmp_path: Path) -> None:
    await imports.run(log, "combined")
    before = await state(imports)

    again = await imports.run(log, "combined")
    unpacked = tmp_path / "access.log"
    unpacked.write_bytes(content(log))
    other_size = await imports.run(unpacked, "combined", unit_bytes=1_000_000)

    assert (again.lines, again.skipped) == (other_size.lines, other_size.skipped) == (0, 10_000)
    assert await state(imports) == before


async def test_an_import_that_dies_anywhere_and_is_repeated_gives_the_same(
    imports: ImportSystem, log: Path, tmp_path: Path
) -> None:
    for survives in (0, 3, 7):

        def die(unit: Unit, survives: int = survives) -> None:
            if unit.start > survives * 200_000:
                raise KilledError

        with pytest.raises(KilledError):
            await imports.run(log, "combined", before_unit=die)
    await imports.run(log, "combined")

    counted = await events(imports, 'SELECT count(*), count(DISTINCT event_id), count(DISTINCT "offset") FROM events')
    assert counted == [(9_999, 9_999, 9_999)]
    assert await imports.live["imports"].count_documents({}) == len(await imports.live["imports"].distinct("_id.start"))


async def test_a_log_that_has_grown_adds_its_new_lines(imports: ImportSystem, log: Path, tmp_path: Path) -> None:
    lines = content(log).splitlines(keepends=True)
    growing = tmp_path / "access.log"
    for until in (1, 2_500, 2_501, 10_000):
        growing.write_bytes(b"".join(lines[:until]))
        await imports.run(growing, "combined")
    assert await events(imports, 'SELECT count(*), max("offset") FROM events') == [(9_999, 10_000)]


async def test_lines_of_two_files_are_two_events_also_where_their_numbers_are_the_same(
    imports: ImportSystem, tmp_path: Path
) -> None:
    for name in ("access.log", "access.log.1"):
        line = f'203.0.113.9 - - [30/May/2015:10:00:00 +0000] "GET /{name} HTTP/1.1" 200 12 "-" "Mozilla/5.0"\n'
        (tmp_path / name).write_text(line * 3)
        await imports.run(tmp_path / name, "combined")
    assert await events(imports, "SELECT count(*), count(DISTINCT event_id) FROM events") == [(6, 6)]


async def test_every_group_gets_the_events_also_one_that_comes_later(imports: ImportSystem, log: Path) -> None:
    groups = Groups(imports.system, imports.settings)
    await groups.create("shadow", "latest")
    await imports.run(log, "combined")
    await groups.create("later", "latest")
    await imports.run(log, "combined", unit_bytes=300_000)
    count = "SELECT count(*), sum(hash(event_id)) FROM events"
    live = await events(imports, count)
    assert live[0][0] == 9_999
    assert await events(imports, count, "shadow") == await events(imports, count, "later") == live


async def test_visitors_and_dirty_dates_go_to_their_owners(imports: ImportSystem, log: Path) -> None:
    await imports.run(log, "combined")
    topology = await load_topology(imports.system)
    first: dict[str, int] = {}
    days: dict[str, set[int]] = {}
    async for request in imports.live["requests"].find():
        assert request["kind"] == "merge_visitors"
        assert len(request["visitors"]) <= 1_000
        for site, visitor, time, active in request["visitors"]:
            assert site == SITE
            first[visitor] = min(time, first.get(visitor, time))
            days.setdefault(visitor, set()).update(active)
            assert request["partition"] == topology.partition_of(bucket_of(site, visitor))
    expected = await events(
        imports,
        """SELECT visitor_id, min(event_time), list(DISTINCT
                  (make_timestamp_ms(event_time) AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin')::DATE
                  - DATE '1970-01-01')
           FROM events WHERE NOT is_bot GROUP BY ALL""",
    )
    assert {visitor: (time, set(active)) for visitor, time, active in expected} == {
        visitor: (first[visitor], days[visitor]) for visitor in first
    }
    dirty = [one["_id"]["date"] async for one in imports.live["dirty_dates"].find()]
    assert sorted(dirty) == [str(date(2015, 5, day)) for day in (17, 18, 19, 20)]


async def test_an_erased_visitor_does_not_come_back(imports: ImportSystem, log: Path) -> None:
    await imports.run(log, "combined")
    visitor, count = (await events(imports, "SELECT visitor_id, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC"))[0]
    await imports.system["erasures"].insert_one(
        {"_id": {"site": SITE, "visitor_id": visitor}, "erased_time": 1_700_000_000_000, "done_time": 1}
    )
    await Groups(imports.system, imports.settings).create("later", "latest")
    await imports.run(log, "combined")
    assert await events(imports, "SELECT count(*) FROM events", "later") == [(9_999 - count,)]


async def test_events_as_json_keep_what_they_say(imports: ImportSystem, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    lines = [
        {"name": "purchase", "time": "2015-05-17T10:00:00+02:00", "visitor_id": "v1", "properties": {"amount": 9.5}},
        {"name": "page_view", "time": 1431857103000, "event_id": "mine", "ip": "8.8.8.8", "user_agent": "curl/8"},
        {"name": "page_view", "time": 1431857103000, "url": "https://example.com/a", "ip": "8.8.8.8"},
    ]
    file.write_bytes(b"\r\n".join(orjson.dumps(line) for line in lines) + b"\r\n\r\n")
    report = await imports.run(file, "ndjson")
    assert Counter(line.reason.partition(":")[0] for line in report.listed) == {"url_missing": 1}
    found = await events(imports, "SELECT visitor_id, name, event_time, properties, ip FROM events ORDER BY event_time")
    assert found[0] == ("v1", "purchase", 1431849600000, '{"amount":9.5}', None)
    assert found[1][0].startswith("log_")
    assert found[1][4] == "8.8.8.0"


async def test_a_site_that_is_not_there_is_an_error(imports: ImportSystem, database: Database, tmp_path: Path) -> None:
    file = tmp_path / "empty"
    file.touch()
    await database["sites"].delete_many({})
    with pytest.raises(ConfigurationError, match="pistats site add"):
        await imports.run(file, "clf")


async def test_two_imports_into_a_site_follow_one_another(imports: ImportSystem, tmp_path: Path) -> None:
    lock, other = ImportLock(imports.system, SITE), ImportLock(imports.system, SITE)
    async with lock.hold():
        with pytest.raises(UnavailableError, match="under way"):
            async with other.hold(wait_s=0.1):
                pass
    async with other.hold(wait_s=0.1):
        with pytest.raises(UnavailableError, match="taken over"):
            await transaction(imports.live, lock.check)


async def test_reports_say_the_same_as_the_raw_lines(imports: ImportSystem, log: Path) -> None:
    await imports.run(log, "combined")
    site = await SiteStore(imports.system).get(SITE)
    assert site is not None
    engine = QueryEngine(niceness=0)
    reports = Reports(imports.source(), engine, imports.live, imports.system)
    days: dict[str, Any] = {"from_date": date(2015, 5, 1), "to_date": date(2015, 5, 31), "bots": "include"}

    by_day = await reports.history(
        site, HistoryQuery(metrics=("views", "visitors", "sessions"), by=("time",), granularity="day", **days)
    )
    by_page = await reports.history(site, HistoryQuery(metrics=("views",), by=("page",), limit=20, **days))

    expected = raw(
        log,
        """
        WITH visits AS (
            SELECT *, (time AT TIME ZONE 'Europe/Berlin')::DATE AS day,
                   coalesce(time - lag(time) OVER visitor > INTERVAL 30 MINUTE, true) AS new
            FROM raw WINDOW visitor AS (PARTITION BY ip, agent ORDER BY time))
        SELECT day::VARCHAR, count(*), count(DISTINCT (ip, agent)), count(*) FILTER (new)
        FROM visits GROUP BY day ORDER BY day""",
    )
    assert [tuple(row) for row in by_day.rows if row[1]] == expected
    assert by_day.totals["visitors"] == raw(log, "SELECT count(DISTINCT (ip, agent)) FROM raw")[0][0]
    top = raw(
        log,
        """SELECT coalesce(nullif(rtrim(split_part(split_part(target, '?', 1), '#', 1), '/'), ''), '/'), count(*)
           FROM raw GROUP BY 1 ORDER BY 2 DESC LIMIT 20""",
    )
    assert sorted(views for _, views in by_page.rows) == sorted(views for _, views in top)
    assert set(map(tuple, by_page.rows[:15])) <= set(top)
    engine.close()

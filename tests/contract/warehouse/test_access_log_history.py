"""A real log of four days: history says what DuckDB computes from the raw lines."""

import gzip
import hashlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pistats.reports.history import HistoryQuery
from pistats.reports.history_answer import HistoryAnswer
from pistats.warehouse.engine import QueryEngine
from tests.table_events import TableSource, a_site, an_event

LOG = Path(__file__).parents[4] / "shared" / "data" / "apache_access_2015.log.gz"
"""10,000 lines in combined format. Kept beside the repository, not in it."""
LINE = re.compile(r'(\S+) \S+ \S+ \[([^\]]+)\] "\S+ (\S+)[^"]*" \d+ \S+ "[^"]*" "([^"]*)"?')
RAW_SQL = r"""
SELECT line, regexp_extract(line, '^(\S+)', 1) AS ip, regexp_extract(line, '"\S+ (\S+)[^"]*" \d+ ', 1) AS path,
       regexp_extract(line, '" "([^"]*)"?$', 1) AS agent,
       strptime(regexp_extract(line, '\[([^\] ]+)', 1), '%d/%b/%Y:%H:%M:%S') AS moment
FROM read_csv($log, header = false, columns = {'line': 'VARCHAR'}, delim = chr(1), quote = '', escape = '')
"""
"""Its own reading of the lines: other expressions, other code. Every line is in UTC."""


@pytest.fixture(scope="module")
def log() -> Path:
    if not LOG.exists():
        reason = f"The access log is not on this machine: put it at {LOG}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return LOG


@pytest.fixture(scope="module")
def answer(log: Path) -> Iterator[HistoryAnswer]:
    engine = QueryEngine(niceness=0)
    yield HistoryAnswer(TableSource(list(page_views(log))), engine, lambda: 2_000_000_000_000)
    engine.close()


@pytest.fixture(scope="module")
def raw(log: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE raw AS " + RAW_SQL, {"log": str(log)})
        yield connection


def page_views(log: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(log, "rt", encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines):
            found = LINE.match(line)
            assert found is not None, line
            ip, time, path, agent = found.groups()
            happened = int(datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z").timestamp() * 1000)
            visitor = hashlib.sha256(f"{ip} {agent}".encode()).hexdigest()
            yield an_event(number, event_time=happened, visitor_id=visitor, path=path)


RANGE = {"from_date": date(2015, 5, 17), "to_date": date(2015, 5, 20)}


async def test_totals_visitors_and_sessions_of_each_day(answer: HistoryAnswer, raw: duckdb.DuckDBPyConnection) -> None:
    query = HistoryQuery(**RANGE, metrics=("events", "views", "visitors", "sessions"), by=("time",))

    report = await answer.of(a_site(), query)

    expected = raw.execute("""
        WITH marked AS (
            SELECT moment, coalesce(moment - lag(moment) OVER same > INTERVAL 30 MINUTE, true) AS new
            FROM raw WINDOW same AS (PARTITION BY ip, agent ORDER BY moment)
        )
        SELECT day::VARCHAR, events, events, visitors, sessions
        FROM (SELECT moment::DATE AS day, count(*) AS events, count(DISTINCT (ip, agent)) AS visitors
              FROM raw GROUP BY day)
        JOIN (SELECT moment::DATE AS day, count(*) FILTER (new) AS sessions FROM marked GROUP BY day) USING (day)
        ORDER BY day""").fetchall()
    assert list(report.rows) == expected
    assert report.totals["events"] == 10_000
    assert report.totals["visitors"] == raw.execute("SELECT count(DISTINCT (ip, agent)) FROM raw").fetchall()[0][0]
    assert report.totals["sessions"] == sum(row[4] for row in expected)


async def test_top_pages(answer: HistoryAnswer, raw: duckdb.DuckDBPyConnection) -> None:
    query = HistoryQuery(**RANGE, metrics=("views", "visitors"), by=("page",), limit=50)

    report = await answer.of(a_site(), query)

    expected = raw.execute("""
        SELECT path, count(*) AS views, count(DISTINCT (ip, agent)) FROM raw
        GROUP BY path ORDER BY views DESC, path LIMIT 50""").fetchall()
    assert list(report.rows) == expected
    assert report.truncated


def test_the_day_is_as_long_as_it_is_known(raw: duckdb.DuckDBPyConnection) -> None:
    first, last = raw.execute("SELECT min(moment), max(moment) FROM raw").fetchall()[0]

    assert first.replace(tzinfo=UTC).date() == RANGE["from_date"]
    assert last.replace(tzinfo=UTC).date() == RANGE["to_date"]

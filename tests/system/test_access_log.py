"""A real access log, sent as events: each is consumed once, and history says of it what the raw file says."""

import gzip
import hashlib
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from tests.running_system import RunningSystem

pytestmark = pytest.mark.system

LOG = Path(__file__).parents[3] / "shared" / "data" / "apache_access_2015.log.gz"
"""10,000 lines in combined format. Kept beside the repository, not in it."""
LINE = re.compile(
    r'(?P<ip>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<method>\S+) (?P<path>\S+)[^"]*" \d+ \S+ '
    r'"(?P<referrer>[^"]*)" "(?P<agent>[^"]*)"?'  # line 8899 lacks its last quote
)
COUNTS = re.compile(r"lines (\d+) · accepted (\d+) · duplicates (\d+) · rejected (\d+) · bad lines (\d+) · not del")

FROM_THE_RAW_FILE = r"""
    CREATE TABLE log AS
    SELECT
        strptime(regexp_extract(line, '\[([^ ]+) ', 1), '%d/%b/%Y:%H:%M:%S') AS time,
        regexp_extract(line, '^\S+') || ' ' || regexp_extract(line, '"([^"]*)"?$', 1) AS visitor,
        coalesce(nullif(rtrim(regexp_extract(line, '"\S+ ([^ ?#"]+)', 1), '/'), ''), '/') AS page
    FROM read_csv(?, columns = {'line': 'VARCHAR'}, header = false, delim = '\x01', quote = '', escape = '')
"""
"""The log as DuckDB reads it, with no code of ours: the times are all UTC."""
DAYS = """
    SELECT strftime(time, '%Y-%m-%d'), count(DISTINCT visitor), count(*) FROM log GROUP BY 1 ORDER BY 1
"""
SESSIONS = """
    WITH gaps AS (SELECT time, time - lag(time) OVER (PARTITION BY visitor ORDER BY time) AS gap FROM log)
    SELECT strftime(time, '%Y-%m-%d'), count(*) FROM gaps WHERE gap IS NULL OR gap > INTERVAL 30 MINUTE
    GROUP BY 1 ORDER BY 1
"""
PAGES = "SELECT page, count(*) FROM log GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 15"


def page_view(line: str) -> dict[str, Any]:
    """One line of the log as the event that its visitor's browser would have sent."""
    found = LINE.fullmatch(line)
    assert found is not None, line
    visitor = hashlib.sha256(f"{found['ip']} {found['agent']}".encode()).hexdigest()[:32]
    event = {
        "name": "page_view",
        "url": f"http://www.semicomplete.com{found['path']}",
        "referrer": found["referrer"],
        "user_agent": found["agent"],
        "ip": found["ip"],
        "time": datetime.strptime(found["time"], "%d/%b/%Y:%H:%M:%S %z").isoformat(),
        "visitor_id": visitor,
    }
    return {name: value for name, value in event.items() if value != "-"}


def events() -> Iterator[dict[str, Any]]:
    with gzip.open(LOG, "rt", encoding="utf-8", newline="\n") as lines:
        yield from (page_view(line.rstrip("\n")) for line in lines)


def send(system: RunningSystem, file: Path, key: str) -> tuple[int, ...]:
    """`pistats send`: (lines, accepted, duplicates, rejected, bad lines)."""
    sent = system.run("send", str(file), "--key", key, check=False)
    counts = COUNTS.search(sent.stdout)
    assert counts is not None, f"{sent.stdout}\n{sent.stderr}"
    assert sent.returncode == 0, f"{sent.stdout}\n{sent.stderr}"
    return tuple(int(number) for number in counts.groups())


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """The log's events as NDJSON."""
    if not LOG.exists():
        reason = f"The access log is not on this machine: put it at {LOG}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"\n".join(orjson.dumps(event) for event in events()))
    return file


def test_every_event_of_a_real_log_is_consumed_once(system: RunningSystem, log_file: Path) -> None:
    key = system.site("access-log")["write_key"]
    before = system.wait_until_consumed()["ledger"]

    assert send(system, log_file, key) == (10_000, 10_000, 0, 0, 0)
    first = system.wait_until_consumed()
    assert send(system, log_file, key) == (10_000, 0, 10_000, 0, 0)
    second = system.wait_until_consumed()

    grown = {name: number - before[name] for name, number in first["ledger"].items()}
    assert (grown["appended"], grown["consumed"], grown["enriched"] + grown["bots"]) == (10_000, 10_000, 10_000)
    assert grown["bots"] > 500, "the log is full of crawlers"
    assert (first["lag_events"], first["lag_s"], first["ledger"]["difference"]) == (0, 0.0, 0)
    assert system.counted("access-log") == 0, "events of another year are history, not live"
    assert second["ledger"] == {**first["ledger"], "duplicates": first["ledger"]["duplicates"] + 10_000}


def test_history_says_of_the_log_what_the_raw_file_says(system: RunningSystem, log_file: Path) -> None:
    send(system, log_file, system.site("access-log")["write_key"])
    system.wait_until_consumed()
    with duckdb.connect() as raw:
        raw.execute(FROM_THE_RAW_FILE, [str(LOG)])
        days, sessions, pages = (raw.sql(question).fetchall() for question in (DAYS, SESSIONS, PAGES))

    by_day = history(system, "metrics=visitors,views,sessions")
    by_page = history(system, "metrics=views&by=page&limit=15")

    assert sum(views for _, _, views in days) == 10_000
    assert [tuple(row[:3]) for row in by_day["rows"]] == days
    assert [(row[0], row[3]) for row in by_day["rows"]] == sessions
    assert by_day["totals"]["views"] == 10_000
    assert sorted(by_page["rows"], key=lambda row: (-row[1], row[0])) == [list(row) for row in pages]


def history(system: RunningSystem, asked: str) -> dict[str, Any]:
    path = f"/api/v1/history?from=2015-05-17&to=2015-05-20&bots=include&{asked}"
    key = system.site("access-log")["read_key"]
    status, answer = system.request(path, headers={"authorization": f"Bearer {key}"})
    assert status == 200, answer
    return answer

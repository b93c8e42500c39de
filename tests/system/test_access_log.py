"""A real access log, sent as events: every accepted one is consumed, and sending it again stores nothing."""

import gzip
import hashlib
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

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

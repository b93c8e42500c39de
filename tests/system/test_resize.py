"""The number of partitions changes while events flow: nothing is lost, doubled or out of order."""

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from pistats.identity import bucket_of
from tests.running_system import RunningSystem, wait_for

pytestmark = pytest.mark.system

SITE = "resized"
RATE = 200
SECONDS = 40


@pytest.mark.timeout(900)
def test_a_resize_under_load_loses_and_doubles_nothing(spare_system: RunningSystem, tmp_path: Path) -> None:
    system = spare_system
    key = system.site(SITE)["write_key"]
    before = {"event_id": "before", "visitor_id": _moving_visitor(), "name": "click"}
    assert system.send(key, before)[1]["accepted"] == 1
    acked = tmp_path / "acked.txt"
    command = [sys.executable, "-m", "pistats", "simulate", "--key", key, "--url", system.url, "--rate", str(RATE)]
    load = subprocess.Popen(
        [*command, "--seconds", str(SECONDS), "--acked", str(acked), "--quiet"], stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: acked.exists() and acked.stat().st_size > 0, 60, "the first acknowledged events")

    assert "resized from 2 to 4 partitions" in system.run("stream", "resize", "4").stdout
    assert system.send(key, before)[1] == {"accepted": 0, "duplicates": 1, "rejected": []}
    assert "resized from 4 to 3 partitions" in system.run("stream", "resize", "3").stdout
    assert load.poll() is None, "the load ended before the resizes"
    printed, _ = load.communicate(timeout=180)

    assert load.returncode == 0, printed
    acknowledged = set(acked.read_text().split())
    assert len(acknowledged) == RATE * SECONDS
    status = system.wait_until_consumed()
    assert status["healthy"]
    assert len(status["partitions"]) == 4
    stored = [record for record in system.stored() if record["event"]["site"] == SITE]
    times = Counter(record["event_id"] for record in stored)
    assert acknowledged <= times.keys()
    assert {event_id for event_id, count in times.items() if count != 1} == set()
    assert system.counted(SITE) == len(stored)
    _check_homes(stored)

    assert "3 partitions already" in system.run("stream", "resize", "3").stdout
    refused = system.run("stream", "resize", "65", check=False)
    assert refused.returncode == 2
    assert system.send(key, before)[1] == {"accepted": 0, "duplicates": 1, "rejected": []}


def _moving_visitor() -> str:
    """Someone whose partition differs for 2, 4 and 3 partitions."""
    return next(
        name
        for name in (f"visitor-{number}" for number in range(1_000))
        if len({bucket_of(SITE, name) % partitions for partitions in (2, 4, 3)}) == 3
    )


def _check_homes(stored: list[dict[str, Any]]) -> None:
    """Each visitor's records are in the home of one layout after the other, in the order of their append."""
    by_visitor: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in sorted(stored, key=lambda one: (one["append_time"], one["offset"])):
        by_visitor[record["event"]["visitor_id"]].append(record)
    for visitor, records in by_visitor.items():
        bucket = bucket_of(SITE, visitor)
        homes = [bucket % partitions for partitions in (2, 4, 3)]
        layout = 0
        for record in records:
            while layout < 3 and record["partition"] != homes[layout]:
                layout += 1
            assert layout < 3, (visitor, homes, [one["partition"] for one in records])

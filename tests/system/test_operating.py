"""What an operator does beside a running system: read the stream, change a key, ask if it is ready, deploy again."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from pistats.identity import bucket_of, partition_of
from tests.running_system import RunningSystem, wait_for

pytestmark = pytest.mark.system

ROTATION_S = 10.0
"""A key is at most 2 s old in ingest; the rest is patience with busy cores."""


def view(number: int, **fields: Any) -> dict[str, Any]:
    return {"name": "page_view", "url": f"https://example.com/{number}", "visitor_id": "one", **fields}


def test_the_stream_is_read_from_any_position(system: RunningSystem) -> None:
    site = system.site("positions")
    partition = partition_of(bucket_of("positions", "one"), system.partitions)
    sent = [view(number, event_id=f"position-{number}") for number in range(5)]
    assert system.send(site["write_key"], *sent)[1]["accepted"] == 5

    def ids(*arguments: str) -> list[str]:
        return [record["event_id"] for record in system.records(partition, *arguments)]

    every = system.records(partition)
    mine = [record for record in every if record["event"]["site"] == "positions"]
    first = mine[0]["offset"]
    assert [record["offset"] for record in every] == list(range(len(every)))
    assert [record["event_id"] for record in mine] == [event["event_id"] for event in sent]
    assert {record["partition"] for record in mine} == {partition}
    assert ids(f"offset:{first}", "--limit", "2") == ["position-0", "position-1"]
    assert ids(f"after:{first + 2}") == ["position-3", "position-4"]
    assert ids("latest", "--no-follow") == []
    moment = datetime.fromtimestamp(mine[0]["append_time"] / 1000, UTC).isoformat(timespec="milliseconds")
    assert "position-4" in ids(f"time:{moment}")


def test_a_position_that_does_not_exist_is_an_error_that_says_what_does(system: RunningSystem) -> None:
    refused = system.run("stream", "tail", "--partition", "0", "--from", "offset:999999999", check=False)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "is beyond the end" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_partition_that_does_not_exist_is_named(system: RunningSystem) -> None:
    refused = system.run("stream", "tail", "--partition", "63", "--from", "latest", check=False)

    assert refused.returncode == 1
    assert "There is no partition 63: the stream has 0 to " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_rotated_key_is_refused_and_the_new_one_is_taken(system: RunningSystem) -> None:
    old = system.site("rotation")["write_key"]
    assert system.send(old, view(1))[0] == 202

    new = orjson.loads(system.run("site", "rotate-key", "rotation", "--which", "write", "--json").stdout)["write_key"]

    assert system.send(new, view(2))[0] == 202
    wait_for(lambda: system.send(old, view(3))[0] == 401, ROTATION_S, "the old key refused")
    assert system.send(old, view(4))[1]["type"].endswith("unknown-key")
    assert system.send(new, view(5))[0] == 202


def test_it_is_ready_only_while_every_partition_answers(system: RunningSystem) -> None:
    assert system.request("/readyz")[0] == 200
    paused = system.processes("ray::PartitionActor")[0]

    paused.suspend()
    try:
        status, problem = system.request("/readyz")
        assert status == 503
        assert "artition" in problem["detail"]
        assert system.request("/healthz")[0] == 200
    finally:
        paused.resume()

    wait_for(lambda: system.request("/readyz")[0] == 200, 30, "ready again")


def test_deploying_again_changes_nothing_that_runs(system: RunningSystem, tmp_path: Path) -> None:
    note = system.runtime
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(note["ray_token_path"])}
    before = system.lasting()
    key = system.site("deployed-again")["write_key"]
    command = [sys.executable, "-m", "pistats", "simulate", "--key", key, "--url", system.url, "--rate", "50"]
    load = subprocess.Popen([*command, "--seconds", "15", "--quiet"], stdout=subprocess.PIPE, text=True)

    deployed = system.run(
        *("deploy", "--address", note["ray_address"], "--mongodb-uri", note["mongodb_uri"], "--data", str(tmp_path)),
        PISTATS_HTTP__PORT=str(system.http_port),
        **token,
    )

    assert deployed.stdout.startswith("ready: 2 partitions")
    printed, _ = load.communicate(timeout=120)
    assert load.returncode == 0, printed
    assert system.lasting() == before
    assert "not healthy" not in system.run("status", "--data", str(tmp_path), **token).stdout
    system.wait_until_consumed()
    assert system.counted("deployed-again") == 15 * 50

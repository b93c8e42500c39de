"""Jobs on a running system, by `pistats job` and by Ray's own command; imports and exports, also killed ones."""

import gzip
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
from pymongo import MongoClient

from tests.running_system import RunningSystem, wait_for

pytestmark = pytest.mark.system

LOG = Path(__file__).parents[3] / "shared" / "data" / "apache_access_2015.log.gz"
RAY = Path(sys.executable).with_name("ray")
JOB_TIMEOUT_S = 180.0
MAY_2015 = ("--from", "2015-05-01", "--to", "2015-06-01")


@pytest.fixture
def log() -> Path:
    if not LOG.exists():
        reason = f"The access log is not on this machine: put it at {LOG}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return LOG


def submit(system: RunningSystem, *command: str) -> str:
    """`ray job submit -- COMMAND`, as the documentation says it; what the job printed."""
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(system.data / "ray.token")}
    done = subprocess.run(
        [str(RAY), "job", "submit", "--address", system.runtime["jobs_url"], "--", *command],
        env={name: value for name, value in environment.items() if not name.startswith("PISTATS_")},
        capture_output=True,
        text=True,
        timeout=JOB_TIMEOUT_S,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def runs(system: RunningSystem) -> list[dict[str, Any]]:
    return list(orjson.loads(system.run("job", "list", "--json", "--limit", "100", check=False).stdout))


def group(system: RunningSystem, client: MongoClient[dict[str, Any]]) -> Any:
    return client["pistats_live"]


def exported(system: RunningSystem, site: str, *more: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in system.run("export", "--site", site, *more).stdout.splitlines()]


def test_a_job_runs_by_either_command(system: RunningSystem) -> None:
    key = system.site("jobs")["write_key"]
    for command in ("pistats", "ray"):
        sent, _ = system.send(key, *({"name": "ping", "event_id": f"{command}-{number}"} for number in range(20)))
        assert sent == 202
        system.wait_until_consumed()
        if command == "pistats":
            printed = system.run("job", "archive", "--wait").stdout
        else:
            printed = submit(system, "python", "-m", "jobs.archive")
        assert '"events"' in printed
        # A scheduled run may have been faster: what counts is that nothing waits.
        with MongoClient[dict[str, Any]](system.runtime["mongodb_uri"]) as client:
            assert group(system, client)["chunks"].count_documents({"sites": "jobs"}) == 0
    archived = [run for run in runs(system) if run["job"] == "archive"]
    assert {run["state"] for run in archived} == {"succeeded"}
    assert any(run["id"].startswith("raysubmit_") for run in archived)


def test_a_job_that_fails_says_why(system: RunningSystem) -> None:
    done = system.run("job", "archive", "--group", "nobody", "--wait", check=False)
    assert done.returncode == 1
    assert "There is no consumer group nobody" in done.stderr
    assert next(run for run in runs(system) if run["group"] == "nobody")["state"] == "failed"


def test_the_job_api_is_closed_to_others(system: RunningSystem) -> None:
    url = system.runtime["jobs_url"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{url}/api/jobs/")
    port = int(url.rpartition(":")[2])
    listening = {
        connection.laddr.ip
        for process in system.processes()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }
    assert listening == {"127.0.0.1"}


def test_a_log_is_imported_once_by_either_command(system: RunningSystem, log: Path) -> None:
    site = system.site("old.example")["site"]
    first = system.run("import", str(log), "--site", site, "--format", "combined")
    assert "lines 10000 · events 9999 · of them bots 1955 · bad lines 1 · imported before 0" in first.stdout
    assert "line 8899: a quoted field has no closing quote" in first.stderr
    (kept,) = (system.data / "bad-lines").glob("apache_access_2015*")
    assert kept.read_bytes().rstrip(b"\n") == gzip.decompress(log.read_bytes()).split(b"\n")[8898]

    again = submit(system, "python", "-m", "jobs.backfill", "--site", site, "--combined", str(log))
    assert '"skipped": 10000' in again
    found = exported(system, site, *MAY_2015)
    assert len(found) == len({event["event_id"] for event in found}) == 9_999
    people = {event["visitor_id"] for event in found if not event["is_bot"]}
    with MongoClient[dict[str, Any]](system.runtime["mongodb_uri"]) as client:
        visitors = group(system, client)["visitors"]
        wait_for(lambda: visitors.count_documents({"_id.site": site}) == len(people), 60, "visitors are merged")
        first_times: dict[str, int] = {}
        for event in found:
            if not event["is_bot"]:
                visitor, time = event["visitor_id"], event["event_time"]
                first_times[visitor] = min(time, first_times.get(visitor, time))
        stored = {one["_id"]["visitor_id"]: one["first_time"] for one in visitors.find({"_id.site": site})}
    assert stored == first_times

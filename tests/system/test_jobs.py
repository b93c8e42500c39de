"""Jobs on a running system, by `pistats job` and by Ray's own command; imports and exports, also killed ones."""

import gzip
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
from pymongo import MongoClient

from pistats.jobs.arguments import JOBS
from tests.running_system import RunningSystem, wait_for

pytestmark = pytest.mark.system

LOG = Path(__file__).parents[3] / "shared" / "data" / "apache_access_2015.log.gz"
RAY = Path(sys.executable).with_name("ray")
JOB_TIMEOUT_S = 300.0
NEW_LINE = '203.0.113.9 - - [30/May/2015:10:00:0{number} +0000] "GET /{number} HTTP/1.1" 200 12 "-" "Mozilla/5.0"\n'
MAY_2015 = ("--from", "2015-05-01", "--to", "2015-06-01")


@pytest.fixture
def log() -> Path:
    if not LOG.exists():
        reason = f"The access log is not on this machine: put it at {LOG}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return LOG


def submit(system: RunningSystem, *command: str, submission_id: str | None = None) -> str:
    """`ray job submit -- COMMAND`, as the documentation says it; what the job printed."""
    named = [] if submission_id is None else ["--submission-id", submission_id]
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(system.data / "ray.token")}
    done = subprocess.run(
        [str(RAY), "job", "submit", "--address", system.runtime["jobs_url"], *named, "--", *command],
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


def days_ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def set_watermarks(watermarks: Any, hours_back: dict[str, float], **changes: Any) -> None:
    """Move back what every job has done, once none of them runs."""
    for job in JOBS:
        back = {"done": -int(hours_back[job] * 3_600_000), "version": 1}
        changed = {"$inc": back, "$set": changes}
        wait_for(
            lambda job=job, changed=changed: watermarks.update_one({"_id": job, "run": None}, changed).matched_count,  # type: ignore[misc]
            JOB_TIMEOUT_S,
            f"{job} is not at work",
        )


def test_a_job_runs_by_command_and_by_the_schedule(system: RunningSystem) -> None:
    key = system.site("jobs")["write_key"]
    with MongoClient[dict[str, Any]](system.runtime["mongodb_uri"]) as client:
        chunks, schedule = group(system, client)["chunks"], client["pistats"]["watermarks"]
        # Later than by itself, so that nobody archives before we do; when the test is over in any case.
        set_watermarks(schedule, dict.fromkeys(JOBS, 0), not_before=int((time.time() + JOB_TIMEOUT_S) * 1000))
        for days, how in enumerate(("command", "schedule"), start=1):
            event = {"name": "ping", "time": days_ago(days)}
            sent, _ = system.send(key, *({**event, "event_id": f"{how}-{one}"} for one in range(20)))
            assert sent == 202
            system.wait_until_consumed()
            if how == "command":
                assert '"events":' in system.run("job", "archive", "--wait").stdout
            else:
                made_up = by_the_schedule(system, schedule)
            assert chunks.count_documents({"sites": "jobs"}) == 0
    assert made_up["archive"]["result"]["live"]["events"] >= 20
    assert made_up["rollup"]["result"]["live"]["rollups"] >= 1
    assert made_up["retention"]["result"]["live"]["cells"] >= 2
    assert made_up["parity"]["result"]["live"]["days"] >= 2
    archived = [run for run in runs(system) if run["job"] == "archive"]
    assert {run["state"] for run in archived} == {"succeeded"}


def by_the_schedule(system: RunningSystem, schedule: Any) -> dict[str, dict[str, Any]]:
    """Let each job have failed once, then have missed two of its times: the one run that makes them up."""
    missed = {"archive": 0.3, "rollup": 0.3, "compact": 2, "retention": 48, "parity": 48}
    before = {one["_id"]: one["done"] for one in schedule.find({"_id": {"$in": list(JOBS)}})}
    began = time.time() * 1000
    set_watermarks(schedule, missed, not_before=0, failures=1)
    settled = {"_id": {"$in": list(JOBS)}, "run": None, "failures": 0}
    wait_for(lambda: schedule.count_documents(settled) == len(JOBS), JOB_TIMEOUT_S, "every job has run")
    done = {one["_id"]: one["done"] for one in schedule.find(settled)}
    assert all(done[job] >= before[job] for job in JOBS)
    second = [run for run in runs(system) if run["created_time"] >= began and run["id"].endswith("-2")]
    assert sorted(run["job"] for run in second) == sorted(JOBS)
    assert {run["state"] for run in second} == {"succeeded"}, second
    return {run["job"]: run for run in second}


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


def test_a_log_is_imported_once_by_either_command(system: RunningSystem, log: Path, tmp_path: Path) -> None:
    site = system.site("old.example")["site"]
    first = system.run("import", str(log), "--site", site, "--format", "combined")
    assert "lines 10000 · events 9999 · of them bots 1955 · bad lines 1 · imported before 0" in first.stdout
    assert "line 8899: a quoted field has no closing quote" in first.stderr
    (kept,) = (system.data / "bad-lines").glob("apache_access_2015*")
    assert kept.read_bytes().rstrip(b"\n") == gzip.decompress(log.read_bytes()).split(b"\n")[8898]

    more = tmp_path / "more.log"
    more.write_text(NEW_LINE.format(number=1) + NEW_LINE.format(number=2))
    several = ("python", "-m", "jobs.backfill", "--site", site, "--combined", str(log), str(more))
    printed = submit(system, *several, submission_id="backfill-old-logs")
    assert '"skipped": 10000' in printed
    assert '"lines": 2, "events": 2' in printed
    with pytest.raises(AssertionError, match="backfill-old-logs already exists"):
        submit(system, *several, submission_id="backfill-old-logs")
    (run,) = [run for run in runs(system) if run["job"] == "backfill"]
    assert (run["id"], run["state"]) == ("backfill-old-logs", "succeeded")
    found = exported(system, site, *MAY_2015)
    assert len(found) == len({event["event_id"] for event in found}) == 10_001
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

    live = {"name": "page_view", "url": "https://old.example/", "visitor_id": min(people)}
    days = [{"event_id": f"returns-{day}", "time": f"2015-06-{day:02}T12:00:00Z"} for day in (3, 9)]
    assert system.send(system.site("old.example")["write_key"], *({**live, **day} for day in days))[0] == 202
    system.wait_until_consumed()
    with MongoClient[dict[str, Any]](system.runtime["mongodb_uri"]) as client:
        cells, wrong = group(system, client)["retention"], {"_id.site": site, "_id.cohort": "2015-05-18"}
        cells.update_one({**wrong, "_id.granularity": "week"}, {"$inc": {"size": 1}})
        verified = system.run("job", "retention", "--site", site, "--verify", "--wait").stdout
        cells.update_one({**wrong, "_id.granularity": "week"}, {"$inc": {"size": -1}})
    # Every other cell of three granularities is the same: of what was imported, and of who returned afterwards.
    assert '"differences": 1' in verified
    assert f"{site}: week cohort 2015-05-18, size: " in verified

"""Replay, promote, drop and dead letters, by the commands that an operator types, on a whole system."""

import hashlib
import itertools
import signal
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import psutil
import pytest
from pymongo import MongoClient

from pistats.live.bucket import MinuteBucket
from pistats.metrics import METRICS
from tests.running_system import RunningSystem, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

SITE = "replayed"
VISITORS, EVENTS = 60, 1_500
PLAIN = ("ledger", "retention", "visitors", "feed")


@pytest.fixture
def own(spare_system: RunningSystem) -> RunningSystem:
    """Not the shared one: groups come and go in it, and its readers are switched."""
    return spare_system


def events() -> Iterator[dict[str, Any]]:
    for number in range(EVENTS):
        yield {
            "event_id": f"replay-{number}",
            "name": "purchase" if number % 9 == 0 else "page_view",
            "visitor_id": f"v{number * 7 % VISITORS}",
            "url": f"https://example.com/a{number % 5}?utm_source=mail",
            "user_agent": "Googlebot/2.1" if number % 50 == 3 else "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        }


def batches(items: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(items, size)):
        yield batch


def database(system: RunningSystem, group: str) -> Any:
    return MongoClient[dict[str, Any]](system.runtime["mongodb_uri"], tz_aware=True)[f"pistats_{group}"]


def documents(system: RunningSystem, group: str, collection: str) -> dict[str, dict[str, Any]]:
    """By `_id`, without when they were written and by whom."""
    found = {}
    for document in database(system, group)[collection].find():
        key = orjson.dumps(document.pop("_id"), option=orjson.OPT_SORT_KEYS).decode()
        document.pop("updated_at", None)
        document.pop("created_at", None)
        found[key] = document
    return found


def said(system: RunningSystem, group: str) -> dict[str, Any]:
    """What every minute says: counts, and the estimates of its sketches."""
    stored = documents(system, group, "minutes")
    return {key: MinuteBucket.from_document(minute, 200).numbers() for key, minute in stored.items()}


def groups(system: RunningSystem) -> dict[str, str]:
    return {one["name"]: one["state"] for one in orjson.loads(system.run("group", "list", "--json").stdout)}


def test_a_replay_equals_the_live_group_and_can_take_its_place(own: RunningSystem) -> None:
    key = own.site(SITE)["write_key"]
    for batch in batches(events(), 100):
        assert own.send(key, *batch)[0] == 202
    stored = own.wait_until_consumed()["ledger"]["appended"]

    done = own.run("replay", "--group", "again", "--from", "trim-horizon", "--wait")
    assert f"again has caught up: {stored:,} events" in done.stdout
    assert own.run("replay", "--group", "again", "--from", "trim-horizon", "--wait").returncode == 0
    assert groups(own) == {"live": "live", "again": "shadow"}

    for collection in PLAIN:
        assert documents(own, "again", collection) == documents(own, "live", collection), collection
    assert said(own, "again") == said(own, "live")
    assert sum(one["enriched"] + one["bots"] for one in documents(own, "again", "ledger").values()) == stored
    assert chunked(own, "again") == chunked(own, "live")

    assert own.run("replay", "--group", "again", "--from", "latest", check=False).returncode == 1
    assert own.run("group", "drop", "live", check=False).returncode == 1
    assert "The readers show again from now on" in own.run("group", "promote", "again").stdout
    assert groups(own) == {"live": "shadow", "again": "live"}
    assert wait_for(lambda: own.status()["group"] == "again", 10, "the status of the promoted group")

    assert own.send(key, {"event_id": "later", "name": "click", "visitor_id": "v0"})[0] == 202
    for group in ("live", "again"):
        wait_for(lambda: consumed(own, group) == stored + 1, 30, f"the next event in {group}")  # noqa: B023

    own.run("group", "promote", "live")
    (own.data / "warehouse" / "again").mkdir(parents=True, exist_ok=True)
    assert "again is gone" in own.run("group", "drop", "again").stdout
    assert groups(own) == {"live": "live"}
    assert database(own, "again").list_collection_names() == []
    assert not (own.data / "warehouse" / "again").exists()
    assert len(own.processes("ray::ConsumerActor")) <= 2
    own.wait_until_consumed()


def consumed(system: RunningSystem, group: str) -> int:
    return int(sum(one["consumed"] for one in documents(system, group, "ledger").values()))


def chunked(system: RunningSystem, group: str) -> dict[tuple[int, int], str]:
    """A digest of every waiting event by its place: chunks may be cut elsewhere."""
    from pistats.warehouse.chunk import decode_chunk

    return {
        (event["partition"], event["offset"]): hashlib.sha256(repr(event).encode()).hexdigest()
        for chunk in database(system, group)["chunks"].find()
        for event in decode_chunk(chunk["data"], chunk["schema"]).to_pylist()
    }


def test_dead_letters_are_listed_shown_and_replayed(own: RunningSystem) -> None:
    """The letters are made by hand: no event that ingest accepts is one, as long as the code has no bug."""
    key = own.site(SITE)["write_key"]
    own.send(key, {"event_id": "victim", "name": "click", "visitor_id": "vx", "url": "https://example.com/"})
    own.wait_until_consumed()
    (victim,) = [record for record in own.stored() if record["event_id"] == "victim"]
    place = {"partition": victim["partition"], "offset": victim["offset"]}
    group = database(own, "live")
    letter = make_dead_letter(group, victim, "\x1b[2J[red]evil[/red]")
    before = orjson.loads(own.run("status", "--json").stdout)["ledger"]

    letter_id = f"{place['partition']}:{place['offset']}"
    listed = own.run("dead-letters", "list").stdout
    assert letter_id in listed
    assert "\x1b[2J" not in listed
    assert "[red]" in listed
    assert "\x1b" not in own.run("dead-letters", "show", letter_id).stdout
    shown = orjson.loads(own.run("dead-letters", "show", letter_id, "--json").stdout)
    assert orjson.loads(shown["payload"])["event_id"] == "victim"
    assert own.run("dead-letters", "show", "9:9", check=False).returncode == 1
    assert "0 replayed" in own.run("dead-letters", "replay", "--reason", "process_died").stdout

    assert "1 replayed: 1 counted, 0 failed again" in own.run("dead-letters", "replay").stdout
    assert "0 replayed" in own.run("dead-letters", "replay").stdout
    assert group["dead_letters"].find_one() is None
    after = own.wait_until_consumed()["ledger"]
    assert (after["enriched"], after["dead_lettered"]) == (before["enriched"] + 1, before["dead_lettered"] - 1)
    assert after["difference"] == 0
    assert letter["detail"] not in str(after)


def test_a_replay_from_the_midst_takes_over_what_came_before(own: RunningSystem) -> None:
    own.wait_until_consumed()
    registered = MongoClient[dict[str, Any]](own.runtime["mongodb_uri"])["pistats"]["groups"]
    replay = ("replay", "--group", "midst", "--from", "offset:20", "--wait")
    (supervisor,) = own.processes("ray::SupervisorActor")
    supervisor.suspend()  # it starts the group's consumers: none shall be at the end before Ctrl-C
    try:
        assert interrupted(own, *replay, when=lambda: registered.find_one({"_id": "midst"}))
    finally:
        supervisor.resume()
    own.run(*replay)
    assert "lacks events" in own.run("group", "promote", "midst", check=False).stderr
    own.run("job", "archive", "--wait")
    own.run("group", "adopt", "midst")
    assert held(own, "midst") == held(own, "live")
    own.run("group", "promote", "midst")
    own.run("group", "promote", "live")
    own.run("group", "drop", "midst")


def interrupted(system: RunningSystem, *arguments: str, when: Callable[[], Any]) -> bool:
    """Run a command, and press Ctrl-C. Whether it ended as such and said that the replay goes on."""
    command = [sys.executable, "-m", "pistats", *arguments, "--data", str(system.data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        wait_for(when, 60, "the beginning of the replay")
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    return process.returncode == 130 and "goes on by itself" in printed


def held(system: RunningSystem, group: str) -> int:
    """Events in the files and chunks of a group."""
    stored = database(system, group)
    return sum(one["rows"] for one in stored["files"].find()) + sum(one["events"] for one in stored["chunks"].find())


def make_dead_letter(group: Any, record: dict[str, Any], detail: str) -> dict[str, Any]:
    """Undo the event's counts and leave a dead letter in its place, as if a step had raised."""
    minute = record["append_time"] - record["append_time"] % 60_000
    shift = {"enriched": -1, "dead_lettered": 1}
    group["partitions"].update_one(
        {"_id": record["partition"]}, {"$inc": {f"counts.{name}": by for name, by in shift.items()}}
    )
    group["ledger"].update_one({"_id": {"partition": record["partition"], "minute": minute}}, {"$inc": shift})
    group["chunks"].delete_one({"_id": {"partition": record["partition"], "first_offset": record["offset"]}})
    letter = {
        "_id": {"partition": record["partition"], "offset": record["offset"]},
        "append_minute": minute,
        "stage": "page",
        "reason": "step_failed",
        "detail": detail,
        "payload": orjson.dumps(record["event"]),
        "code_version": "0",
        "created_at": datetime.now(UTC),
    }
    group["dead_letters"].insert_one(letter)
    return letter


def test_a_pool_grows_while_it_is_behind_and_shrinks_when_it_has_kept_up(own: RunningSystem) -> None:
    key = own.site(SITE)["write_key"]
    own.wait_until_consumed()
    (consumer,) = wait_for(lambda: only(own.processes("ray::ConsumerActor")), 60, "a pool of one")
    consumer.suspend()
    try:
        own.send(key, {"event_id": "waiting", "name": "click", "visitor_id": "vw"})
        wait_for(lambda: len(own.processes("ray::ConsumerActor")) == 2, 60, "a second consumer")
    finally:
        consumer.resume()
    own.wait_until_consumed()
    wait_for(lambda: len(own.processes("ray::ConsumerActor")) == 1, 60, "a pool of one again")
    own.wait_until_consumed()


def only(processes: list[psutil.Process]) -> list[psutil.Process]:
    return processes if len(processes) == 1 else []


def test_every_measurement_that_happened_is_exported(own: RunningSystem) -> None:
    port = tomllib.loads((own.data / "pistats.toml").read_text())["metrics"]["port"]

    def missing() -> set[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            text = response.read().decode()
        return {metric.name for metric in METRICS if f"ray_{metric.name}" not in text}

    rare = {"pistats_dead_letters_total", "pistats_duplicates_total", "pistats_fenced_total"}
    wait_for(lambda: missing() <= rare, 60, "the metrics")

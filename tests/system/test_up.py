"""The system as a user meets it: started, asked, fed, stopped."""

import socket
import urllib.request
from pathlib import Path

import orjson
import pytest

from tests.running_system import RunningSystem, new_system

pytestmark = pytest.mark.system


def test_an_event_is_stored_and_counted(system: RunningSystem) -> None:
    key = system.site("first-event")["write_key"]
    event = {"name": "page_view", "url": "https://example.com/a?b=c", "visitor_id": "v1", "event_id": "first-event-1"}
    body = orjson.dumps([event, {"name": ""}])

    request = urllib.request.Request(f"{system.url}/v1/events", body, {"x-pistats-key": key})
    with urllib.request.urlopen(request) as response:
        answer = orjson.loads(response.read())

    assert (response.status, answer["accepted"], answer["duplicates"]) == (202, 1, 0)
    assert [(one["index"], one["reason"]) for one in answer["rejected"]] == [(1, "name_missing")]
    status = system.wait_until_consumed()
    assert status["healthy"], status["problems"]
    assert status["ledger"]["difference"] == 0
    stored = [one for number in range(len(status["partitions"])) for one in system.records(number)]
    assert [one["event"]["url"] for one in stored if one["event_id"] == "first-event-1"] == [event["url"]]


def test_a_second_up_says_who_holds_the_directory(system: RunningSystem) -> None:
    refused = system.run("up", "--data", str(system.data), check=False)

    assert refused.returncode == 1
    assert system.process is not None
    assert f"process {system.process.pid}" in refused.stderr


def test_a_taken_port_is_named_before_anything_starts(system: RunningSystem, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        refused = system.run("up", "--data", str(tmp_path / "other"), "--port", str(port), check=False)

    assert refused.returncode == 1
    assert f"Port {port} is in use" in refused.stderr


def test_commands_say_where_to_start_a_system(tmp_path: Path) -> None:
    nowhere = new_system(tmp_path)

    refused = nowhere.run("status", check=False)

    assert refused.returncode == 1
    assert "pistats up" in refused.stderr


def test_doctor_finds_this_machine_fit(system: RunningSystem) -> None:
    assert "mongod" in system.run("doctor").stdout


def test_the_visitors_address_comes_through_the_proxy_cut_short(system: RunningSystem) -> None:
    key = system.site("addresses")["write_key"]
    body = orjson.dumps({"name": "page_view", "url": "https://example.com/", "event_id": "address-1"})
    headers = {"x-pistats-key": key, "x-forwarded-for": "203.0.113.77"}

    with urllib.request.urlopen(urllib.request.Request(f"{system.url}/v1/events", body, headers)) as response:
        assert response.status == 202

    system.wait_until_consumed()
    stored = [one for number in range(2) for one in system.records(number) if one["event_id"] == "address-1"]
    # A front proxy on this machine (here: the test) is trusted, and HAProxy added its address behind it.
    assert [one["event"]["ip"] for one in stored] == ["203.0.113.0"]

"""Retention, funnels and events over HTTP: the reports' numbers, in the shapes of the interface."""

from typing import Any

import orjson
import pytest

from pistats.enrich.event import FIELDS
from tests.contract.query_api.conftest import Answer, Database, Reader

DAYS = {"from": "2026-11-02", "to": "2026-11-04"}


def lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    return [orjson.loads(line) for line in answer.body.splitlines()]


async def test_retention_counts_who_came_back(reader: Reader, warehouse: list[dict[str, Any]]) -> None:
    answer = await reader.get("/v1/retention", **DAYS)

    first, second, third = answer.json()["cohorts"]
    assert (first["start"], first["size"], first["returned"][:3]) == ("2026-11-02", 10, [10, 10, 10])
    assert len(first["complete"]) == len(first["returned"])
    assert (second["size"], third["size"]) == (0, 0)


async def test_retention_by_events_and_modes(reader: Reader, warehouse: list[dict[str, Any]]) -> None:
    asked = {**DAYS, "mode": "recurring", "return": "on_or_after", "event": "page_view", "return_event": "purchase"}

    answer = await reader.get("/v1/retention", **asked)

    assert answer.status == 200, answer.body
    assert [(cohort["size"], cohort["returned"][0]) for cohort in answer.json()["cohorts"]] == [(10, 1)] * 3


async def test_a_funnel_counts_visitors_step_by_step(reader: Reader, warehouse: list[dict[str, Any]]) -> None:
    where = {"field": "path", "op": "eq", "value": "/1"}
    steps = [{"name": "page_view"}, {"name": "page_view", "where": where}, {"name": "purchase"}]

    answer = await reader.post("/v1/funnel", {"steps": steps, "window_s": 86_400, **DAYS})

    assert answer.status == 200, answer.body
    found = answer.json()["steps"]
    assert [(step["visitors"], step["share"]) for step in found] == [(10, 1.0), (10, 1.0), (1, 0.1)]
    assert found[0]["median_s"] is None
    assert found[1]["median_s"] == 60


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "steps: Field required"),
        ({"steps": []}, "steps: List should have at least 1 item"),
        ({"steps": [{"name": "a"}], "windows": 5}, "windows: this is not known here"),
        ({"steps": [{"name": ""}]}, "steps.0.name: String should have at least 1 character"),
        ({"steps": [{"name": "a", "where": {"field": "nothing"}}]}, "'nothing' is unknown"),
        ({"steps": [{"name": "a"}], "order": "random"}, "order: Input should be 'ordered', 'strict' or 'any'"),
        ({"steps": [{"name": "a"}], "from": 20_000}, "from: expected a date as YYYY-MM-DD"),
    ],
)
async def test_a_funnel_that_cannot_be_is_refused(reader: Reader, body: dict[str, Any], said: str) -> None:
    answer = await reader.post("/v1/funnel", body)

    assert (answer.status, answer.json()["type"]) == (422, "/problems/invalid-request")
    assert said in answer.json()["detail"]


async def test_a_body_that_is_no_json_or_too_large_is_refused(reader: Reader) -> None:
    headers = {"content-type": "application/json"}

    broken = await reader.ask("POST", "/v1/funnel", data=b"{", headers=headers)
    large = await reader.ask("POST", "/v1/funnel", data=b" " * 200_000, headers=headers)

    assert (broken.status, broken.json()["type"]) == (422, "/problems/invalid-request")
    assert (large.status, large.json()["type"]) == (413, "/problems/too-large")


async def test_events_come_one_a_line_in_event_time_with_a_cursor(
    reader: Reader, warehouse: list[dict[str, Any]]
) -> None:
    pages, cursor = [], {}
    while True:
        page = lines(await reader.get("/v1/events", limit=20, **DAYS, **cursor))
        pages.append([event for event in page if "next_cursor" not in event])
        if "next_cursor" not in page[-1]:
            break
        cursor = {"cursor": page[-1]["next_cursor"]}

    found = [event for page in pages for event in page]
    assert [len(page) for page in pages] == [20, 20, 20, 6]
    assert [event["event_id"] for event in found] == [event["event_id"] for event in warehouse]
    assert set(found[0]) >= set(FIELDS)
    assert [event["properties"] for event in found] == [event["properties"] for event in warehouse]


async def test_events_of_one_visitor_and_of_a_condition(reader: Reader, warehouse: list[dict[str, Any]]) -> None:
    condition = orjson.dumps({"field": "path", "op": "eq", "value": "/2"}).decode()

    of_one = lines(await reader.get("/v1/events", visitor="v3", **DAYS))
    of_page = lines(await reader.get("/v1/events", filter=condition, **DAYS))

    assert {event["visitor_id"] for event in of_one} == {"v3"}
    assert len(of_one) == 6
    assert len(of_page) == 10


async def test_a_visitor_is_exported_with_every_event(reader: Reader, warehouse: list[dict[str, Any]]) -> None:
    answer = await reader.get("/v1/visitors/v1")

    assert answer.status == 200, answer.body
    found = answer.json()
    assert found["visitor_id"] == "v1"
    assert [event["event_id"] for event in found["events"]] == [
        event["event_id"] for event in warehouse if event["visitor_id"] == "v1"
    ]
    assert found["totals"]["events"] == 9
    assert len(found["sessions"]) == found["totals"]["sessions"] == 6


async def test_a_visitor_of_whom_nothing_is_kept_is_not_found(reader: Reader) -> None:
    unknown, long = await reader.get("/v1/visitors/nobody/a%2Fb"), await reader.get(f"/v1/visitors/{'x' * 129}")

    assert (unknown.status, unknown.json()["type"]) == (404, "/problems/not-found")
    assert (long.status, long.json()["type"]) == (422, "/problems/invalid-request")


async def test_nothing_of_another_site_is_read(reader: Reader, warehouse: list[dict[str, Any]], other: Reader) -> None:
    history = await other.get("/v1/history", metrics="events", by="", **DAYS)
    events, visitor = await other.get("/v1/events", **DAYS), await other.get("/v1/visitors/v1")

    assert history.json()["totals"] == {"events": 0}
    assert (events.status, events.body, visitor.status) == (200, b"", 404)


@pytest.mark.parametrize(
    "body",
    [
        rb'{"steps": [{"name": "\ud800"}]}',
        rb'{"steps": [{"name": "a", "where": {"field": "path", "op": "eq", "value": "\ud800"}}]}',
        rb'{"steps": [{"name": "a", "where": {"field": "properties.\ud800", "op": "exists"}}]}',
        rb'{"steps": [{"name": "a", "where": {"field": "path", "op": "eq", "value": 1e999}}]}',
        rb'{"steps": [{"name": "a", "where": {"field": "event_time", "op": "gt", "value": 1e999}}]}',
        b'{"steps": [{"name": "a", "where": {"field": "event_time", "op": "gt", "value": 1' + b"0" * 400 + b"}}]}",
        b'{"steps": [{"name": "a", "where": ' + b'{"all": [' * 5_000 + b"]}" * 5_000 + b"}]}",
    ],
)
async def test_text_that_is_none_is_no_fault_of_the_server(reader: Reader, body: bytes) -> None:
    answer = await reader.ask("POST", "/v1/funnel", data=body, headers={"content-type": "application/json"})

    assert answer.status in (200, 400, 422), answer.body


@pytest.mark.parametrize("cursor", ["x", "AAAA", "%00", "2026-11-02", "e30=", "WzFd"])
async def test_a_cursor_that_is_none_is_refused(reader: Reader, cursor: str) -> None:
    answer = await reader.get("/v1/events", cursor=cursor, **DAYS)

    assert (answer.status, answer.json()["type"]) == (422, "/problems/invalid-request")


@pytest.mark.parametrize("text", ["' OR 1=1 --", "$where", "\x00", "../../etc/passwd", "%ED%A0%80", "a" * 128, "{}"])
async def test_hostile_names_of_visitors_find_nothing(reader: Reader, text: str) -> None:
    events = await reader.get("/v1/events", visitor=text, **DAYS)
    history = await reader.get("/v1/retention", event=text[:64], **DAYS)

    assert (events.status, events.body) == (200, b"")
    assert [cohort["size"] for cohort in history.json()["cohorts"]] == [0, 0, 0]


async def test_an_erased_visitor_is_nowhere_any_more_and_everybody_else_is(
    reader: Reader, warehouse: list[dict[str, Any]], group: Database
) -> None:
    first = await reader.ask("DELETE", "/v1/visitors/v1")
    gone = await reader.get("/v1/visitors/v1")
    counted = await reader.get("/v1/history", metrics="visitors,events", by="", **DAYS)
    (asked,) = await group["requests"].find().to_list()
    await group["requests"].delete_many({})  # as the partition's owner does in its commit
    second = await reader.ask("DELETE", "/v1/visitors/v1")
    await group["requests"].delete_many({})
    third = await reader.ask("DELETE", "/v1/visitors/v1")

    found = first.json()
    assert (first.status, found["state"], found["events"], found["sessions"]) == (202, "removing", 9, 6)
    assert first.json()["removed"]["chunks"] == 1
    assert first.json()["removed"]["files"] > 0
    assert gone.status == 404
    assert counted.json()["totals"] == {"visitors": 9, "events": len(warehouse) - 3 - 9}
    assert (asked["kind"], asked["visitor_id"]) == ("erase_visitor", "v1")
    assert {second.json()["events"], third.json()["events"]} == {0}

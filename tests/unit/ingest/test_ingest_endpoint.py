"""POST /v1/events and its neighbours, as INTERFACE promises them to clients."""

import asyncio
import gzip
import json

import pytest

from pistats.errors import UnavailableError

VIEW = {"name": "page_view", "url": "https://news.example/a", "visitor_id": "v1"}


def events(count, **fields):
    return [{"name": "click", "event_id": f"e{n}", "visitor_id": f"v{n}", **fields} for n in range(count)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (json.dumps(VIEW), 1),
        (json.dumps(VIEW, indent=2), 1),
        (json.dumps([VIEW, VIEW]), 2),
        ("\ufeff" + json.dumps([VIEW]), 1),
        (json.dumps({"events": [VIEW, VIEW, VIEW], "sent_at": 1_795_000_000_000}), 3),
        (json.dumps({"sent_at": "nonsense", "events": [VIEW]}, indent=1), 1),
        (json.dumps(VIEW) + "\n" + json.dumps(VIEW), 2),
        (json.dumps(VIEW) + "\r\n\r\n" + json.dumps(VIEW) + "\r\n", 2),
        (json.dumps({**VIEW, "title": 'the "events" of today'}), 1),
        ("[]", 0),
        ('{"events": []}', 0),
    ],
)
async def test_every_form_of_body_is_read_by_its_content(endpoint, body, expected):
    answer = await endpoint.post(body.encode(), content_type="text/plain;charset=UTF-8")

    assert answer.status == 202
    assert answer.json() == {"accepted": expected, "duplicates": 0, "rejected": []}
    assert len(endpoint.stored()) == expected


async def test_a_record_holds_the_servers_fields_first_and_the_clients_cannot_set_them(endpoint):
    sent = {**VIEW, "site": "other", "received_time": 1, "ip": "198.51.100.99", "partition": 3, "time": NOW_ISO}
    await endpoint.post({"events": [sent], "sent_at": 1_795_000_000_001}, user_agent="Browser/1")

    [record] = endpoint.stored()
    assert list(record)[:5] == ["site", "received_time", "ip", "user_agent", "sent_at"]
    assert record.pop("event_id")
    assert record == {
        "site": "news.example",
        "received_time": 1_795_000_000_000,
        "ip": "198.51.100.0",
        "user_agent": "Browser/1",
        "sent_at": 1_795_000_000_001,
        "name": "page_view",
        "url": "https://news.example/a",
        "visitor_id": "v1",
        "time": 1_700_000_000_000,
    }


NOW_ISO = "2023-11-14T23:13:20+01:00"


async def test_one_bad_event_never_sinks_its_batch(endpoint):
    bad = [
        ({"visitor_id": "v"}, "name_missing"),
        ({"name": "  "}, "name_missing"),
        ({"name": None}, "name_missing"),
        ({"name": "n" * 65}, "name_too_long"),
        ({"name": "page_view"}, "url_missing"),
        ({"name": "page_view", "url": ""}, "url_missing"),
        ({"name": "a", "title": "t" * 513}, "value_too_long"),
        ({"name": "a", "user_id": 5}, "wrong_type"),
        ({"name": "a", "properties": []}, "wrong_type"),
        ({"name": "a", "time": "yesterday"}, "invalid_time"),
        ({"name": "a", "time": "2026-11-23T10:00:00"}, "invalid_time"),
        ({"name": "a", "time": 1_795_000_000}, "invalid_time"),
        ({"name": "a", "time": True}, "invalid_time"),
        ({"name": "a", "properties": {str(n): 1 for n in range(101)}}, "too_many_properties"),
        ({"name": "a", "properties": {"a": {"b": [{"d": {}}]}}}, "properties_too_deep"),
        ({"name": "a", "x": json.loads("[" * 900 + "]" * 900)}, "properties_too_deep"),
        ({"name": "a", "properties": {"text": "t" * 32_000}}, "event_too_large"),
        ("text", "not_an_object"),
        (None, "not_an_object"),
    ]
    good = {"name": "a", "properties": {"a": {"b": [{}]}}}
    mixed = [good, *(event for event, _ in bad), good]

    answer = await endpoint.post(mixed)

    rejected = [(entry["index"], entry["reason"]) for entry in answer.json()["rejected"]]
    assert rejected == [(index + 1, reason) for index, (_, reason) in enumerate(bad)]
    assert answer.json()["accepted"] == len(endpoint.stored()) == 2
    assert all(0 < len(entry["detail"]) < 200 for entry in answer.json()["rejected"])


@pytest.mark.parametrize(
    ("body", "accepted", "rejected"),
    [
        ('[{"name":"a"},{"name":oops},{"name":"c"}]', 2, {1: "invalid_json"}),
        ('{"sent_at":1,"events":[{"name":"a"},{"name"},{"name":"c"}]}', 2, {1: "invalid_json"}),
        ('{"name":"a"}\n{"name":\n{"name":"c"}', 2, {1: "invalid_json"}),
        ('{"name":"a"\n{"name":"c"}', 1, {0: "invalid_json"}),
        ('[{"name":"a"},{"name":"b"},{"na', 2, {2: "invalid_json"}),
        ('[{"name":"a"}] and more', 1, {1: "invalid_json"}),
        ('{"name":"a"}{"name":"b"}\n{"name":"c"}', 1, {0: "invalid_json"}),
        ('[{"name":"a,]}"},1]', 1, {1: "not_an_object"}),
        ('{"events":[1],"events":[{"name":"a"},2]}', 1, {1: "not_an_object"}),
        ('{"events":5}', 0, {0: "name_missing"}),
        ("5", 0, {0: "not_an_object"}),
    ],
)
async def test_broken_json_is_told_from_its_neighbours(endpoint, body, accepted, rejected):
    answer = await endpoint.post(body.encode())

    assert answer.status == 202
    assert answer.json()["accepted"] == accepted
    assert {entry["index"]: entry["reason"] for entry in answer.json()["rejected"]} == rejected


@pytest.mark.parametrize("body", [b"", b" \n", b"nonsense", b"[nonsense]", b'{"name"', b"\xff\xfe", b'{"name":"\xff"}'])
async def test_what_cannot_be_read_at_all_is_a_400(endpoint, body):
    answer = await endpoint.post(body)

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/unreadable-body"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (rb'{"a":NaN,"b":-Infinity,"c":1e999}', {"a": None, "b": None, "c": None}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":%d,"b":[-%d]}' % (2**63, 2**70), {"a": float(2**63), "b": [-float(2**70)]}),
        (b'{"a":%s}' % (b"9" * 400), {"a": None}),
        (rb'{"a\u0000b":"x\u0000\\u0000"}', {"a\ufffdb": "x\ufffd\\u0000"}),
        (rb'{"a":"\ud83d","b":"\ud83d\ude00","c":"\uDE00!"}', {"a": "\ufffd", "b": "😀", "c": "\ufffd!"}),
        (rb'{"$where":"1","a.b":{"__proto__":1}}', {"$where": "1", "a.b": {"__proto__": 1}}),
    ],
)
async def test_odd_values_are_stored_as_something_every_reader_can_read(endpoint, sent, stored):
    answer = await endpoint.post(b'{"name":"a","properties":' + sent + b"}")

    assert answer.json()["accepted"] == 1
    assert endpoint.stored()[0]["properties"] == stored


async def test_a_repeated_event_id_is_a_duplicate_and_counted_as_such(endpoint):
    await endpoint.post(events(3))

    answer = await endpoint.post(events(5))

    assert answer.json() == {"accepted": 2, "duplicates": 3, "rejected": []}


async def test_empty_ids_are_no_ids(endpoint):
    answer = await endpoint.post([{"name": "a", "event_id": "", "visitor_id": ""}] * 2)

    assert answer.json()["accepted"] == 2
    first, second = endpoint.stored()
    assert first["event_id"] != second["event_id"]
    assert first["visitor_id"] == second["visitor_id"] != ""


async def test_an_anonymous_visitor_is_the_same_all_day_and_another_one_tomorrow(endpoint):
    for user_agent in ("A", "A", "B"):
        await endpoint.post({"name": "a"}, user_agent=user_agent)
    endpoint.clock[0] += 86_400_000
    await endpoint.post({"name": "a"}, user_agent="A")

    by_time = sorted(endpoint.stored(), key=lambda record: record["received_time"])
    visitors = [(record["user_agent"], record["visitor_id"]) for record in by_time]
    assert len(set(visitors[:3])) == 2
    assert visitors[3] not in visitors[:3]


@pytest.mark.parametrize(
    ("client", "forwarded", "event_ip", "key", "stored"),
    [
        ("203.0.113.77", None, None, "pw_open", "203.0.113.0"),
        ("203.0.113.77", None, None, "pw_whole", "203.0.113.77"),
        ("203.0.113.77", "198.51.100.1", None, "pw_open", "203.0.113.0"),  # not from a trusted proxy
        ("127.0.0.1", "198.51.100.1", None, "pw_open", "198.51.100.0"),
        ("127.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.5", None, "pw_open", "198.51.100.0"),
        ("10.1.1.1", "192.168.7.7", None, "pw_open", "192.168.7.0"),
        ("127.0.0.1", "1.2.3.4, unknown", None, "pw_open", None),
        ("127.0.0.1", "[2001:db8:1:2::3]:5000", None, "pw_open", "2001:db8:1::"),
        ("::ffff:203.0.113.9", None, None, "pw_open", "203.0.113.0"),
        ("203.0.113.77", None, "2001:db8:abcd:1::1", "pw_open", "2001:db8:abcd::"),
        ("203.0.113.77", None, "not an address", "pw_open", None),
    ],
)
async def test_the_stored_address(endpoint, client, forwarded, event_ip, key, stored):
    headers = {"x-pistats-key": key, **({"x-forwarded-for": forwarded} if forwarded else {})}

    answer = await endpoint.call(
        "POST", "/v1/events", json.dumps({"name": "a", "ip": event_ip}).encode(), headers, client
    )

    assert answer.json()["accepted"] == 1
    assert endpoint.stored()[0].get("ip") == stored


async def test_bounds_on_the_request(make_endpoint):
    endpoint = make_endpoint(max_request_bytes=2_000, max_event_bytes=1_000, max_request_events=3)
    large = json.dumps({"name": "a", "x": "y" * 3_000}).encode()
    exact = json.dumps({"name": "a", "x": "y" * (1_000 - 22)}).encode()

    assert (await endpoint.post(large)).status == 413
    assert (await endpoint.post(large, content_length="3020")).status == 413
    assert (await endpoint.call("POST", "/v1/events?key=pw_open", [large[:1_500], large[1_500:]])).status == 413
    assert (await endpoint.post(gzip.compress(b" " * 1_000_000), content_encoding="gzip")).status == 413
    assert (await endpoint.post(events(4))).status == 413
    assert (await endpoint.post(b'{"a"\n' * 4 + b"{}")).status == 413
    assert (await endpoint.post(events(3))).json()["accepted"] == 3
    assert len(exact) == 1_000
    assert (await endpoint.post(exact)).json()["accepted"] == 1
    assert (await endpoint.post(exact + b" ")).json()["accepted"] == 1
    refused = await endpoint.post(b"[" + exact.replace(b"y", b"yy", 1) + b',{"name":"b"}]')
    assert [entry["reason"] for entry in refused.json()["rejected"]] == ["event_too_large"]
    assert refused.json()["accepted"] == 1


async def test_gzip_is_unpacked_declared_or_not(endpoint):
    packed = gzip.compress(json.dumps(VIEW).encode())
    members = gzip.compress(json.dumps(VIEW).encode() + b"\n") + packed

    assert (await endpoint.post(packed, content_encoding="gzip")).json()["accepted"] == 1
    assert (await endpoint.post(packed)).json()["accepted"] == 1
    assert (await endpoint.post(members, content_encoding="GZIP")).json()["accepted"] == 2
    assert (await endpoint.post(packed[:-9], content_encoding="gzip")).status == 400
    assert (await endpoint.post(b"no gzip", content_encoding="gzip")).status == 400
    refused = await endpoint.post(b"x", content_encoding="br")
    assert refused.status == 415
    assert refused.headers["accept-encoding"] == "gzip"


async def test_keys_and_origins(endpoint):
    allowed = "https://strict.example"
    assert (await endpoint.post(VIEW, key="wrong")).status == 401
    assert (await endpoint.call("POST", "/v1/events", json.dumps(VIEW).encode())).status == 401
    assert (await endpoint.call("POST", "/v1/events?a=b&key=pw%5Fopen", json.dumps(VIEW).encode())).status == 202
    assert (await endpoint.post(VIEW, key="pw_strict", origin=allowed)).status == 202
    assert (await endpoint.post(VIEW, key="pw_strict")).status == 202
    for origin in ("https://evil.example", "null", "http://strict.example"):
        refused = await endpoint.post(VIEW, key="pw_strict", origin=origin)
        assert refused.status == 403
        assert refused.headers["access-control-allow-origin"] == "*"


async def test_every_answer_can_be_read_by_the_page_that_asked(endpoint):
    origin = "https://news.example"
    for body, key, status in ((VIEW, "pw_open", 202), (b"x", "pw_open", 400), (VIEW, "wrong", 401)):
        answer = await endpoint.post(body, key=key, origin=origin)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-expose-headers"] == "retry-after"
        assert "set-cookie" not in answer.headers
    preflight = await endpoint.call(
        "OPTIONS",
        "/v1/events",
        headers={"origin": origin, "access-control-request-headers": "content-type,x-pistats-key"},
    )
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-headers"] == "content-type,x-pistats-key"
    assert preflight.headers["access-control-allow-methods"] == "POST, OPTIONS"
    assert preflight.headers["access-control-max-age"] == "86400"
    wrong = await endpoint.call("PUT", "/v1/events")
    assert wrong.status == 405
    assert wrong.headers["allow"] == "POST, OPTIONS"
    assert wrong.headers["access-control-allow-origin"] == "*"
    assert (await endpoint.call("GET", "/nothing")).status == 404


async def test_the_pixel_stores_the_event_in_its_address(endpoint):
    query = "key=pw_open&name=page_view&url=https%3A%2F%2Fa.example%2F%3Fx%3D1&time=1795000000000&properties.topic=vote"

    answer = await endpoint.call("GET", f"/v1/pixel.gif?{query}&site=other")

    assert (answer.status, len(answer.body)) == (200, 43)
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store"
    [record] = endpoint.stored()
    assert record["site"] == "news.example"
    assert record["url"] == "https://a.example/?x=1"
    assert record["time"] == 1_795_000_000_000
    assert record["properties"] == {"topic": "vote"}


async def test_a_pixel_that_stores_nothing_says_so(endpoint):
    refused = await endpoint.call("GET", "/v1/pixel.gif?key=pw_open&url=x")
    assert refused.status == 400
    assert refused.json()["detail"].endswith("(name_missing)")
    assert (await endpoint.call("GET", "/v1/pixel.gif?name=a")).status == 401
    assert (await endpoint.call("HEAD", "/v1/pixel.gif?key=pw_open&name=a")).status == 200
    assert (await endpoint.call("GET", "/v1/pixel.gif?key=pw_open&" + "&a=b" * 300)).status == 400
    assert endpoint.stored() == []


async def test_the_tracker_is_cached_and_compressed(endpoint):
    plain = await endpoint.call("GET", "/t.js")
    packed = await endpoint.call("GET", "/t.js", headers={"accept-encoding": "br, gzip"})
    known = await endpoint.call("GET", "/t.js", headers={"if-none-match": "W/" + plain.headers["etag"]})

    assert plain.body == gzip.decompress(packed.body) == b"console.log('tracker')"
    assert packed.headers["content-encoding"] == "gzip"
    assert (known.status, known.body) == (304, b"")
    assert "max-age" in plain.headers["cache-control"]


async def test_health_and_readiness(endpoint):
    assert (await endpoint.call("GET", "/healthz")).status == 200
    assert (await endpoint.call("GET", "/readyz")).status == 200
    endpoint.ready_error.append(UnavailableError("partition 1 is starting"))
    answer = await endpoint.call("GET", "/readyz")
    assert answer.status == 503
    assert answer.json()["detail"] == "partition 1 is starting"
    assert answer.headers["retry-after"] == "1"


async def test_a_program_that_sends_for_visitors_is_not_the_visitor(endpoint):
    await endpoint.post({"name": "a", "visitor_id": "v"}, user_agent="curl/8.5.0")
    await endpoint.post({"name": "b", "visitor_id": "v", "user_agent": "Browser/1"}, user_agent="curl/8.5.0")
    await endpoint.post({"name": "c", "visitor_id": "v", "user_agent": "curl/8.5.0"}, user_agent="curl/8.5.0")

    agents = {record["name"]: record.get("user_agent") for record in endpoint.stored()}
    assert agents == {"a": None, "b": "Browser/1", "c": "curl/8.5.0"}


async def test_a_full_partition_answers_429_before_any_partition_gets_anything(make_endpoint):
    endpoint = make_endpoint(max_pending_bytes=1_000_000)
    endpoint.logs[0].gate.clear()
    held = [asyncio.create_task(endpoint.post(events(850, title="t" * 500))) for _ in range(3)]
    blocked, other = endpoint.ingest._router.route.homes
    await endpoint.until(lambda: blocked.pending_bytes > 750_000 and not other.pending_bytes)
    stored = len(endpoint.logs[1].records)

    answer = await endpoint.post([{**event, "title": "t" * 500} for event in fresh_events(800)])

    assert answer.status == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["type"] == "/problems/overloaded"
    assert len(endpoint.logs[1].records) == stored
    endpoint.logs[0].gate.set()
    assert {(await task).status for task in held} == {202}
    assert len(endpoint.stored()) == 850


def fresh_events(count):
    return [{"name": "click", "event_id": f"f{n}", "visitor_id": f"v{n}"} for n in range(count)]


async def test_too_many_waiting_requests_answer_429(make_endpoint):
    endpoint = make_endpoint(max_pending_requests=1)
    endpoint.logs[0].gate.clear()
    endpoint.logs[1].gate.clear()
    held = asyncio.create_task(endpoint.post(VIEW))
    await asyncio.sleep(0)

    assert (await endpoint.post(VIEW)).status == 429

    for log in endpoint.logs:
        log.gate.set()
    assert (await held).status == 202


async def test_when_every_partition_fails_the_answer_is_503(make_endpoint):
    endpoint = make_endpoint(append_timeout_s=0.05)
    for log in endpoint.logs:
        log.failures = [UnavailableError("restarting")] * 1_000

    answer = await endpoint.post(events(10))

    assert answer.status == 503
    assert answer.json()["type"] == "/problems/unavailable"
    assert "retry-after" in answer.headers
    assert endpoint.stored() == []


async def test_when_one_partition_fails_its_events_are_named_and_can_be_sent_again(make_endpoint):
    endpoint = make_endpoint(append_timeout_s=0.05)
    endpoint.logs[1].failures = [UnavailableError("restarting")] * 1_000
    sent = [{"name": "click", "visitor_id": f"v{n}"} for n in range(20)]

    answer = (await endpoint.post([{"no": "name"}, *sent])).json()

    missing = [entry for entry in answer["rejected"] if entry["reason"] == "unavailable"]
    assert missing
    assert answer["accepted"] == len(endpoint.logs[0].records) == 20 - len(missing)
    assert [entry["index"] for entry in answer["rejected"]] == sorted(entry["index"] for entry in answer["rejected"])
    endpoint.logs[1].failures = []
    again = [{**sent[entry["index"] - 1], "event_id": entry["event_id"]} for entry in missing]
    assert (await endpoint.post(again)).json()["accepted"] == len(missing)
    assert (await endpoint.post(again)).json()["duplicates"] == len(missing)
    assert sorted(record["visitor_id"] for record in endpoint.stored()) == sorted(event["visitor_id"] for event in sent)


async def test_a_client_that_hangs_up_does_not_stop_the_append(endpoint):
    for log in endpoint.logs:
        log.gate.clear()
    request = asyncio.create_task(endpoint.post(VIEW))
    await endpoint.until(lambda: any(log.batches for log in endpoint.logs))
    request.cancel()
    await asyncio.wait([request])
    for log in endpoint.logs:
        log.gate.set()

    assert (await endpoint.post(VIEW)).json()["accepted"] == 1
    assert len(endpoint.stored()) == 2


async def test_an_unexpected_error_is_a_problem_too(endpoint, caplog):
    for log in endpoint.logs:
        log.failures = [TypeError("a bug")]

    answer = await endpoint.post(VIEW, origin="https://news.example")

    assert answer.status == 500
    assert answer.json()["type"] == "/problems/internal-error"
    assert "a bug" not in answer.body.decode()
    assert answer.headers["access-control-allow-origin"] == "https://news.example"

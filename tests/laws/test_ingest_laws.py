"""Laws of ingest: whatever comes in, every event is accounted for, and what is stored can be read by everyone."""

import json
from contextlib import suppress
from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pistats.ingest.body import gunzip, split_array
from pistats.ingest.event import Event
from pistats.ingest.parse import Parsed, parse
from pistats.ingest.pixel import pixel_event
from pistats.ingest.problem import ProblemError
from pistats.ingest.reason import Reason
from pistats.ingest.record import RequestRecords
from pistats.ingest.site_cache import KnownSite
from pistats.settings import IngestSettings
from pistats.sites import Site

LIMITS = IngestSettings(max_event_bytes=2_000, max_request_events=50)
SITE = KnownSite(Site("news.example", "UTC", "w", "r", (), True, 0))
FIELDS = [*Event.__annotations__, "site", "received_time", "sent_at", "events"]

scalars: SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.text(st.characters())  # with NUL and lone surrogates
    | st.sampled_from(["page_view", "", "2026-11-23T10:00:00Z", 1_795_000_000_000, "\ud83d", "\0", "\\u0000", "[{,"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
events = st.dictionaries(st.sampled_from(FIELDS) | st.text(), values, max_size=8)
good_events = st.fixed_dictionaries(
    {
        "name": st.text(
            st.characters(codec="utf-8", exclude_categories=["Zs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20
        )
    },
    optional={"properties": st.dictionaries(st.text(max_size=5), scalars, max_size=4), "time": st.just(10**12)},
).filter(lambda event: event["name"] != "page_view")


def try_parse(body: bytes) -> Parsed | ProblemError:
    try:
        return parse(body, LIMITS)
    except ProblemError as problem:
        return problem


def store(parsed: Parsed) -> list[bytes]:
    records = RequestRecords(SITE, 1, parsed.sent_at, "203.0.113.9", 'UA "\\', b"s" * 32)
    for number, event in enumerate(parsed.events):
        event.setdefault("event_id", f"made-{number}")
    return [records.write(event) for event in parsed.events]


def check_stored(record: bytes) -> dict[str, Any]:
    """Every reader gets the same from it, and the server's fields are the server's."""
    read = orjson.loads(record)
    assert b"\n" not in record
    assert json.loads(record) == read
    assert orjson.loads(orjson.dumps(read)) == read
    assert read["site"] == "news.example"
    assert read["received_time"] == 1
    assert read["visitor_id"]
    assert read["event_id"]
    assert read["name"].strip()
    assert "\0" not in json.dumps(read, ensure_ascii=False)
    assert set(read) <= {*Event.__annotations__, "site", "received_time", "sent_at"}
    assert all(value is not None and value != "" for value in read.values())
    _check_numbers(read)
    return dict(read)


def _check_numbers(value: Any) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _check_numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(inner)
    elif isinstance(value, int):
        assert -(2**63) <= value < 2**63


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.lists(st.sampled_from(list('[]{},:"\\ \nau0')), max_size=40).map("".join).map(str.encode)
)
@example(b'[{"name":"a"},{"name":"b"},{"na')
@example(b'{"events":[')
@example(b'{"events":[{"name":"a"}]} {"name":"b"}')
@example(b"\xef\xbb\xbf[]")
@settings(max_examples=600, deadline=None)
def test_no_body_raises_anything_but_a_problem(body):
    parsed = try_parse(body)

    if isinstance(parsed, ProblemError):
        assert parsed.kind.status in (400, 413)
        assert orjson.loads(parsed.body())["detail"]
        return
    for record in store(parsed):
        check_stored(record)


@given(st.lists(events | values, max_size=12), st.sampled_from(["array", "envelope", "ndjson"]), st.booleans())
@settings(max_examples=400, deadline=None)
def test_every_event_is_stored_or_refused_at_its_index(given_events, form, ascii_only):
    lines = [_dumps(event, ascii_only) for event in given_events]
    if form == "array":
        body = b"[" + b", ".join(lines) + b"]"
    elif form == "envelope":
        body = b'{"sent_at": 1795000000000, "events": [' + b",".join(lines) + b"]}"
    elif len(lines) > 1 and all(line.startswith(b"{") for line in lines):
        body = b"\n".join(lines)
    else:
        return
    parsed = try_parse(body)

    if isinstance(parsed, ProblemError):
        assert parsed.kind.status == 400
        assert not any(_readable(line) for line in lines)
        return

    indexes = sorted([*parsed.indexes, *(rejected.index for rejected in parsed.rejected)])
    assert indexes == list(range(len(given_events)))
    assert all(isinstance(rejected.reason, Reason) and len(rejected.detail) < 300 for rejected in parsed.rejected)
    for index, record in zip(parsed.indexes, store(parsed), strict=True):
        assert check_stored(record)["name"] == _mended(given_events[index]["name"])


@given(
    st.lists(good_events, min_size=1, max_size=6),
    st.integers(0, 6),
    st.sampled_from(["{", "nope", '{"name":"x"', '{"name":tru}', '"']),
)
@settings(max_examples=200, deadline=None)
def test_one_broken_line_costs_no_other_line(given_events, place, broken):
    lines = [_dumps(event, True) for event in given_events]
    place = min(place, len(lines))
    lines.insert(place, broken.encode())

    parsed = parse(b"\n".join(lines), LIMITS)

    assert [rejected.index for rejected in parsed.rejected] == [place]
    assert parsed.rejected[0].reason is Reason.INVALID_JSON
    assert len(parsed.events) == len(given_events)


@given(st.lists(values, max_size=10), st.sampled_from([None, 1, 3]))
@settings(deadline=None)
def test_cutting_an_array_gives_each_item_as_it_was_sent(items, indent):
    body = json.dumps(items, indent=indent).encode()

    cut = split_array(body, 100)

    assert len(cut) == len(items)
    assert [json.dumps(json.loads(item)) for item in cut] == [json.dumps(item) for item in items]


@given(st.text(), st.none() | st.text(st.characters(codec="utf-8")))
@settings(deadline=None)
def test_no_pixel_address_raises_anything_but_a_problem(query, page):
    for body in (pixel_event(query, page), pixel_event(f"name=a&properties={query}", page)):
        parsed = try_parse(body)
        if isinstance(parsed, Parsed):
            store(parsed)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_no_gzip_raises_anything_but_a_problem(body):
    for packed in (body, b"\x1f\x8b\x08\x00" + body):
        with suppress(ProblemError):
            assert len(gunzip(packed, 1_000)) <= 1_000


def _dumps(value: Any, ascii_only: bool) -> bytes:
    text = json.dumps(value, ensure_ascii=ascii_only)
    return text.encode() if ascii_only else text.encode("utf-8", "surrogatepass").replace(b"\n", b" ")


def _readable(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _mended(text: str) -> str:
    """As the server stores it."""
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\0", "\ufffd")

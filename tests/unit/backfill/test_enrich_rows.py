"""Column by column, the steps find out the same as event by event."""

import pytest

from pistats.backfill.access_log import read_access_log
from pistats.backfill.enrich import READS, enrich_rows
from pistats.backfill.ndjson import read_ndjson
from pistats.backfill.rows import Rows
from pistats.enrich.event import FIELDS
from pistats.enrich.steps import STEPS, EnrichContext

AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    None,
)


@pytest.fixture(scope="module")
def context() -> EnrichContext:
    return EnrichContext.standard()


def some_rows() -> Rows:
    lines = []
    for number in range(60):
        fields = {
            "name": "page_view",
            "url": f"https://example.com/{('sport', 'news', '')[number % 3]}/{number % 7}?utm_source=mail" * 1
            if number % 5
            else f"https://example.com/{number % 4}",
            "referrer": ("https://www.google.com/search?q=a", "https://example.com/", None)[number % 3],
            "user_agent": AGENTS[number % 3],
            "ip": ("8.8.8.8", "91.198.174.192", None)[number % 3],
            "language": ("de-DE,de;q=0.9", "EN", None)[number % 3],
            "visitor_id": f"v{number % 9}",
            "time": 1_700_000_000_000 + number,
            "properties": {"section": "own"} if number % 11 == 0 else {"n": number},
        }
        lines.append(_line({name: value for name, value in fields.items() if value is not None}))
    return read_ndjson(lines, 1, 1_800_000_000_000)


def _line(event: dict[str, object]) -> bytes:
    import orjson

    return orjson.dumps(event)


def one_by_one(rows: Rows, context: EnrichContext) -> list[dict[str, object]]:
    import orjson

    events = []
    for row in range(len(rows)):
        event = dict.fromkeys(FIELDS)
        event |= {name: values[row] for name, values in rows.client.items()}
        event |= {"time": rows.time[row], "received_time": rows.received_time[row], "site": "s"}
        event |= {"partition": -1, "offset": rows.numbers[row]}
        properties = rows.properties[row]
        event["properties"] = orjson.loads(properties) if properties else None
        for _, step in STEPS:
            step(event, context)
        event["properties"] = properties
        events.append(event)
    return events


def test_columns_and_single_events_give_the_same(context: EnrichContext) -> None:
    rows = some_rows()
    assert len(rows) == 60
    expected = one_by_one(rows, context)
    visitors = [visitor or "" for visitor in rows.client["visitor_id"]]
    assert enrich_rows(rows, "s", visitors, rows.client["ip"], context).to_pylist() == expected


def test_every_step_says_what_it_reads_and_writes(context: EnrichContext) -> None:
    """A field that is read but not listed in READS would be null here, and the results would differ."""
    assert set(READS) == {name for name, _ in STEPS}
    for name, step in STEPS:
        event = {**dict.fromkeys(FIELDS), "received_time": 5, "time": 4, "user_agent": AGENTS[0], "ip": "8.8.8.8"}
        event |= {"url": "https://a.b/c?gclid=1", "referrer": "https://c.d/", "language": "de"}
        before = dict(event)
        step(event, context)
        assert {field for field in FIELDS if event[field] != before[field]} <= set(READS[name][1])


def test_an_event_that_a_step_fails_on_is_a_bad_line(context: EnrichContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(event: dict[str, object], _: EnrichContext) -> None:
        if event["url"] == "https://example.com/0":
            raise ValueError("no such page")
        event |= dict.fromkeys(READS["page"][1])

    steps = tuple((name, fail if name == "page" else step) for name, step in STEPS)
    monkeypatch.setattr("pistats.backfill.enrich.STEPS", steps)
    rows = some_rows()
    table = enrich_rows(rows, "s", [str(number) for number in rows.numbers], rows.client["ip"], context)
    assert table.num_rows == 60 - len(rows.bad) < 60
    assert {line.reason for line in rows.bad} == {"step page failed: ValueError: no such page"}


def test_no_rows_are_no_events(context: EnrichContext) -> None:
    assert enrich_rows(Rows(), "s", [], [], context).num_rows == 0


LINES = {
    '1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 12 "-" "x"': None,
    '1.2.3.4 - bob smith [17/May/2015:10:05:03 +0200] "GET /a b HTTP/1.1" 304 - "http://r/" "say \\"hi\\"" 0.003': None,
    '1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 12 "-" "x': "a quoted field has no closing quote",
    '1.2.3.4 - - [17/May/2015:10:05:03 +0000] "-" 408 - "-" "-"': "no request, such as GET / HTTP/1.1",
    '1.2.3.4 - - [17/Mai/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 12 "-" "x"': "the time cannot be read",
    '1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 12': "not a line of this format",
    "": None,
    "\x00\x16\x03": "not a line of this format",
}


def test_lines_of_an_access_log() -> None:
    rows = read_access_log(LINES, 1, combined=True, base_url="https://example.com")
    assert {line.number: line.reason for line in rows.bad} == {
        number: reason for number, reason in enumerate(LINES.values(), 1) if reason
    }
    assert rows.numbers == [1, 2]
    assert rows.time == [1431857103000, 1431857103000 - 7_200_000]
    assert rows.client["url"] == ["https://example.com/a", "https://example.com/a b"]
    assert rows.client["referrer"] == [None, "http://r/"]
    assert rows.client["user_agent"] == ["x", 'say "hi"']
    assert rows.properties == [
        '{"method":"GET","status":200,"bytes":12}',
        '{"method":"GET","status":304,"bytes":0}',
    ]


def test_common_format_has_neither_referrer_nor_user_agent() -> None:
    rows = read_access_log(
        ['h - - [01/Jan/2020:00:00:00 -0500] "HEAD / HTTP/1.0" 200 -', next(iter(LINES))],
        7,
        combined=False,
        base_url=None,
    )
    assert (rows.client["url"], rows.client["user_agent"], [line.number for line in rows.bad]) == (["/"], [None], [8])


def test_events_of_the_past_need_a_time_and_are_checked_as_at_ingest() -> None:
    rows = read_ndjson(
        [
            b'{"name":"a","time":"2020-01-01T00:00:00Z"}',
            b'{"name":"a"}',
            b'{"name":"page_view","time":1}',
            b"nonsense",
            b"[]",
            b'{"name":"a","time":1577836800005,"event_time":1577836800007,"received_time":1577836800009,"browser":"Lynx"}',
        ],
        1,
        1_800_000_000_000,
    )
    assert rows.time == [1577836800000, 1577836800007]
    assert rows.received_time == [1577836800000, 1577836800009]
    assert [line.number for line in rows.bad] == [2, 3, 4, 5]

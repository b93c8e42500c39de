"""Reading events: bad lines are data, ids come from the content."""

import gzip
import json
from pathlib import Path

from pistats.send.events_file import BadLine, EventLine, open_events, read_lines


def ids(lines: list[bytes]) -> list[str]:
    return [json.loads(line.event)["event_id"] for line in read_lines(lines) if isinstance(line, EventLine)]


def test_the_same_content_gives_the_same_ids() -> None:
    lines = [b'{"name":"a"}\n', b'{"name":"b"}\n']
    assert ids(lines) == ids(lines)


def test_a_file_that_grew_at_its_end_keeps_its_ids() -> None:
    lines = [b'{"name":"a"}\n', b'{"name":"b"}\n']
    assert ids([*lines, b'{"name":"c"}\n'])[:2] == ids(lines)


def test_equal_lines_are_two_events() -> None:
    first, second = ids([b'{"name":"a"}\n', b'{"name":"a"}\n'])
    assert first != second


def test_an_id_that_is_there_stays() -> None:
    assert ids([b'{"name":"a","event_id":"mine"}']) == ["mine"]


def test_bad_lines_are_numbered_and_do_not_end_the_file() -> None:
    lines = list(read_lines([b"{oops\n", b"\n", b"[1]\n", b'{"name":"' + b"x" * 40_000 + b'"}\n', b'{"name":"a"}\n']))
    assert [line.number for line in lines] == [1, 3, 4, 5]
    reasons = [line.reason for line in lines if isinstance(line, BadLine)]
    assert reasons[0].startswith("not JSON")
    assert reasons[1] == "not a JSON object"
    assert "at most 32,000" in reasons[2]


def test_a_packed_file_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"name":"a"}\n'))
    with open_events(str(path)) as source:
        assert len(list(read_lines(source))) == 1


def test_a_packed_file_that_was_cut_short_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"name":"a"}\n' * 3)[:-8])
    with open_events(str(path)) as source:
        *events, end = read_lines(source)
    assert [event.number for event in events if isinstance(event, EventLine)] == [1, 2, 3]
    assert isinstance(end, BadLine)
    assert (end.number, "cut short" in end.reason) == (4, True)

"""Access logs in common (CLF) and combined format, as Apache and nginx write them: each request is a page view.

`host ident user [day/Mon/year:time zone] "METHOD target HTTP/x" status bytes`, and in combined format `"referrer"
"user agent"` behind it. Whatever a server adds at the end of a line is left out.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from pistats.backfill.rows import CLIENT_FIELDS, BadLine, Rows
from pistats.ingest.event import MAX_USER_AGENT

MAX_URL_CHARS = 2_048
"""Of a URL and of a referrer, as at ingest."""
MAX_METHOD_CHARS = 32
TIME, REQUEST = 1, 2
"""Places of a line's fields: host, time, request, status, size, and in combined format referrer and user agent."""
_NONE: tuple[tuple[Any, ...], ...] = ((),) * 5

_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_COMMON = rf"(\S+) \S+ [^\[]*\[([^\]]+)\] {_QUOTED} (\d{{3}}) (\d+|-)"
CLF = re.compile(rf"{_COMMON}\s*")
COMBINED = re.compile(rf"{_COMMON} {_QUOTED} {_QUOTED}(?:\s.*)?")

NOT_A_LINE = "not a line of this format"
NO_CLOSING_QUOTE = "a quoted field has no closing quote"
NO_REQUEST = "no request, such as GET / HTTP/1.1"
NO_TIME = "the time cannot be read"
LONG_URL = f"the target has more than {MAX_URL_CHARS:,} characters"


def read_access_log(lines: Iterable[str], first_number: int, *, combined: bool, base_url: str | None) -> Rows:
    """The requests of the lines, in order; blank lines are skipped.

    `base_url`: `https://example.com` goes in front of the targets, which have no host; None: paths alone.
    """
    numbers: list[int] = []
    found: list[tuple[str, ...]] = []
    bad: list[BadLine] = []
    match = (COMBINED if combined else CLF).fullmatch
    for number, line in enumerate(lines, first_number):
        fields = match(line)
        if fields is not None:
            numbers.append(number)
            found.append(fields.groups())
        elif line.strip():
            bad.append(BadLine(number, NO_CLOSING_QUOTE if _unquoted(line) else NOT_A_LINE))
    return _rows(numbers, found, bad, base_url)


def _rows(numbers: list[int], found: list[tuple[str, ...]], bad: list[BadLine], base_url: str | None) -> Rows:
    """Works out each text once: requests, times and user agents repeat."""
    requests = {text: _request_of(text, base_url) for text in {fields[REQUEST] for fields in found}}
    times = _Times()
    moments = {text: times.of(text) for text in {fields[TIME] for fields in found}}
    if None in moments.values() or any(request.fault for request in requests.values()):
        faults = [
            requests[fields[REQUEST]].fault or (NO_TIME if moments[fields[TIME]] is None else None) for fields in found
        ]
        bad += [BadLine(number, fault) for number, fault in zip(numbers, faults, strict=True) if fault]
        numbers = [number for number, fault in zip(numbers, faults, strict=True) if not fault]
        found = [fields for fields, fault in zip(found, faults, strict=True) if not fault]
    hosts, written, asked, statuses, sizes, *rest = zip(*found, strict=True) if found else _NONE
    referrers, agents = rest or ((None,) * len(found),) * 2
    time: list[Any] = [moments[text] for text in written]
    given: dict[str, list[Any]] = {
        "url": [requests[text].url for text in asked],
        "referrer": _texts(referrers, MAX_URL_CHARS),
        "user_agent": _texts(agents, MAX_USER_AGENT),
        "ip": list(hosts),
        "name": ["page_view"] * len(found),
    }
    return Rows(
        numbers=numbers,
        time=time,
        received_time=list(time),
        client={name: given.get(name) or [None] * len(found) for name in CLIENT_FIELDS},
        properties=[
            _properties(requests[text].method, status, size)
            for text, status, size in zip(asked, statuses, sizes, strict=True)
        ],
        section=[None] * len(found),
        bad=bad,
    )


@dataclass(frozen=True, slots=True)
class _Request:
    """A request line: method and URL, or why it is none."""

    method: str
    url: str
    fault: str | None = None


def _request_of(text: str, base_url: str | None) -> _Request:
    """No request is what bots and broken clients send."""
    method, _, rest = _unescaped(text).partition(" ")
    target, _, version = rest.rpartition(" ")
    if not version.startswith("HTTP/"):
        target = rest  # HTTP/0.9 names no version
    target = target.strip()
    if not method.isalpha() or len(method) > MAX_METHOD_CHARS or not target:
        return _Request("", "", NO_REQUEST)
    if len(target) > MAX_URL_CHARS:
        return _Request("", "", LONG_URL)
    return _Request(method, target if base_url is None else _absolute(base_url, target))


def _absolute(base_url: str, target: str) -> str:
    if not target.startswith("/"):
        return target if "://" in target else f"{base_url}/"  # `OPTIONS *`, `CONNECT host:443`
    return base_url + target


class _Times:
    """Reads `17/May/2015:10:05:03 +0000`. Each minute is worked out once."""

    def __init__(self) -> None:
        self._minutes: dict[tuple[str, str], int | None] = {}

    def of(self, text: str) -> int | None:
        """Unix ms; None when it is no time."""
        minute, second, zone = text[:17], text[18:20], text[21:]
        if len(text) != 26 or not second.isdigit() or second > "60":
            return None
        key = (minute, zone)
        if key not in self._minutes:
            self._minutes[key] = self._read(minute, zone)
        start = self._minutes[key]
        return None if start is None else start + int(second) * 1000

    @staticmethod
    def _read(minute: str, zone: str) -> int | None:
        try:
            start = int(datetime.strptime(f"{minute} {zone}", "%d/%b/%Y:%H:%M %z").timestamp()) * 1000
        except ValueError:
            return None
        return start if start >= 0 else None


@lru_cache(maxsize=65_536)
def _properties(method: str, status: str, size: str) -> str:
    found = {"method": method, "status": int(status), "bytes": 0 if size == "-" else int(size)}
    try:
        return orjson.dumps(found).decode()
    except TypeError:  # more bytes than 64 bits can count
        return orjson.dumps({**found, "bytes": None}).decode()


def _texts(fields: Sequence[str | None], max_chars: int) -> list[str | None]:
    """What was between the quotes; None for `-` and nothing."""
    texts = {
        field: None if field is None or field in ("-", "") else _unescaped(field)[:max_chars] for field in set(fields)
    }
    return [texts[field] for field in fields]


def _unescaped(field: str) -> str:
    return field.replace('\\"', '"').replace("\\\\", "\\") if "\\" in field else field


def _unquoted(line: str) -> bool:
    return len(re.findall(r'(?<!\\)"', line)) % 2 == 1

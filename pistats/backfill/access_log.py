"""Access logs in common (CLF) and combined format, as Apache and nginx write them: each request is a page view.

`host ident user [day/Mon/year:time zone] "METHOD target HTTP/x" status bytes`, and in combined format `"referrer"
"user agent"` behind it. Whatever a server adds at the end of a line is left out.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from pistats.backfill.rows import CLIENT_FIELDS, BadLine, Rows
from pistats.ingest.event import MAX_USER_AGENT

MAX_URL_CHARS = 2_048
"""Of a URL and of a referrer, as at ingest."""
MAX_METHOD_CHARS = 32
_NONE: tuple[list[Any], ...] = ([], [], [], [], [], [], [])

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
    events: list[Request] = []
    bad: list[BadLine] = []
    match = (COMBINED if combined else CLF).fullmatch
    times = _Times()
    for number, line in enumerate(lines, first_number):
        found = match(line)
        if found is not None:
            request = _request_of(number, found.groups(), times, base_url)
            if type(request) is str:
                bad.append(BadLine(number, request))
            else:
                events.append(request)  # type: ignore[arg-type]
        elif line.strip():
            bad.append(BadLine(number, NO_CLOSING_QUOTE if _unquoted(line) else NOT_A_LINE))
    return _rows(events, bad)


Request = tuple[int, int, str, str | None, str | None, str | None, str]
"""Line number, time (Unix ms), URL, referrer, user agent, host, properties as JSON."""


def _rows(events: list[Request], bad: list[BadLine]) -> Rows:
    rows = Rows(bad=bad)
    count = len(events)
    numbers, times, urls, referrers, agents, hosts, properties = (
        map(list, zip(*events, strict=True)) if events else _NONE
    )
    rows.numbers, rows.time, rows.received_time, rows.properties = numbers, times, list(times), properties
    rows.section = [None] * count
    given = {"url": urls, "referrer": referrers, "user_agent": agents, "ip": hosts, "name": ["page_view"] * count}
    rows.client = {name: given.get(name) or [None] * count for name in CLIENT_FIELDS}
    return rows


def _request_of(number: int, fields: tuple[str | None, ...], times: "_Times", base_url: str | None) -> Request | str:
    """The request, or what is wrong with it."""
    host, written, asked, status, size, *rest = fields
    method, url = _method_and_target(asked or "")
    if url is None:
        return NO_REQUEST
    if len(url) > MAX_URL_CHARS:
        return LONG_URL
    time = times.of(written or "")
    if time is None:
        return NO_TIME
    referrer, user_agent = rest if rest else (None, None)
    return (
        number,
        time,
        url if base_url is None else _absolute(base_url, url),
        _text(referrer, MAX_URL_CHARS),
        _text(user_agent, MAX_USER_AGENT),
        host,
        _properties(method, status or "", size or "-"),
    )


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
def _method_and_target(request: str) -> tuple[str, str | None]:
    """Method and target; no target when it is no request: what bots and broken clients send."""
    method, _, rest = _unescaped(request).partition(" ")
    target, _, version = rest.rpartition(" ")
    if not version.startswith("HTTP/"):
        target = rest  # HTTP/0.9 names no version
    target = target.strip()
    if not method.isalpha() or len(method) > MAX_METHOD_CHARS or not target:
        return "", None
    return method, target


@lru_cache(maxsize=65_536)
def _absolute(base_url: str, target: str) -> str:
    if not target.startswith("/"):
        return target if "://" in target else f"{base_url}/"  # `OPTIONS *`, `CONNECT host:443`
    return base_url + target


@lru_cache(maxsize=65_536)
def _properties(method: str, status: str, size: str) -> str:
    found = {"method": method, "status": int(status), "bytes": 0 if size == "-" else int(size)}
    try:
        return orjson.dumps(found).decode()
    except TypeError:  # more bytes than 64 bits can count
        return orjson.dumps({**found, "bytes": None}).decode()


def _text(field: str | None, max_chars: int) -> str | None:
    """What was between the quotes; None for `-` and nothing."""
    if field is None or field in ("-", ""):
        return None
    return _unescaped(field)[:max_chars]


def _unescaped(field: str) -> str:
    return field.replace('\\"', '"').replace("\\\\", "\\") if "\\" in field else field


def _unquoted(line: str) -> bool:
    return len(re.findall(r'(?<!\\)"', line)) % 2 == 1

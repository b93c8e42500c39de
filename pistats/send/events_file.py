"""Events out of an NDJSON file, each with an id. A bad line is data, with its number and reason."""

import gzip
import hashlib
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

MAX_LINE_BYTES = 32_000
"""What the server takes as one event; a longer line would only be sent to be rejected."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event, as JSON with an `event_id`."""

    number: int
    event: bytes


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no event: its number, from 1, and why."""

    number: int
    reason: str


def open_events(path: str) -> BinaryIO:
    """The file as bytes, unpacked when its name ends in `.gz`; `-` is standard input. Raises OSError."""
    if path == "-":
        return sys.stdin.buffer
    if path.endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return Path(path).open("rb")


def read_lines(lines: Iterable[bytes]) -> Iterator[EventLine | BadLine]:
    """Every line that is not blank, in order. A packed file that is damaged ends with a bad line that says so.

    An event without an id gets one from all the bytes up to the end of its line: the same file gives the same ids, so
    does a file that has grown at its end, and two equal lines in a file give two ids.
    """
    seen, number = hashlib.blake2b(digest_size=16), 0
    try:
        for number, line in enumerate(lines, 1):
            seen.update(line)
            if line.strip():
                yield _read_line(number, line, seen.hexdigest)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield BadLine(number + 1, f"from here on the file cannot be unpacked, it is damaged or was cut short: {error}")


def _read_line(number: int, line: bytes, new_id: Callable[[], str]) -> EventLine | BadLine:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return BadLine(number, f"not JSON: {error}")
    if not isinstance(event, dict):
        return BadLine(number, "not a JSON object")
    if not event.get("event_id"):
        event["event_id"] = new_id()
    encoded = orjson.dumps(event)
    if len(encoded) > MAX_LINE_BYTES:
        return BadLine(number, f"{len(encoded):,} bytes, at most {MAX_LINE_BYTES:,} are allowed")
    return EventLine(number, encoded)

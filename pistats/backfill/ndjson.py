"""Events as JSON, one a line: those of the ingest endpoint with a time, and enriched ones as `pistats export` writes.

Of an enriched event only what its sender had said is taken, and when it was received: everything else is found out
again, by the rules of today.
"""

from collections.abc import Iterable
from typing import Any

import orjson
from pydantic import ValidationError

from pistats.backfill.rows import CLIENT_FIELDS, BadLine, Rows
from pistats.ingest.event import MAX_USER_AGENT, Event, check, read_event, rejection, with_small_integers
from pistats.ingest.reason import RejectedEventError

MAX_LINE_BYTES = 64_000
"""Twice what ingest takes as one event: an enriched one says more."""
NO_TIME = "no time: an event of the past needs `time`, ISO 8601 or Unix milliseconds"


def read_ndjson(lines: Iterable[bytes], first_number: int, now: int) -> Rows:
    """The events of the lines, in order; blank lines are skipped. `now` (Unix ms): nothing was received later."""
    rows = Rows()
    for number, line in enumerate(lines, first_number):
        if not line or line.isspace():
            continue
        try:
            _add(rows, number, line, now)
        except RejectedEventError as error:
            rows.bad.append(BadLine(number, f"{error.reason}: {error.detail}"))
        except ValidationError as error:
            rejected = rejection(error)
            rows.bad.append(BadLine(number, f"{rejected.reason}: {rejected.detail}"))
        except ValueError as error:
            rows.bad.append(BadLine(number, str(error)))
    return rows


def _add(rows: Rows, number: int, line: bytes, now: int) -> None:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"{len(line):,} bytes, at most {MAX_LINE_BYTES:,} are taken")
    event = read_event(line)
    check(event)
    time, received_time = _times(event, line)
    if time is None:
        raise ValueError(NO_TIME)
    if time < 0:
        raise ValueError("the time is before 1970")
    received_time = min(max(time, received_time or 0), max(now, time))
    properties = event.get("properties")
    section = properties.get("section") if properties else None
    client: dict[str, Any] = {name: event.get(name) for name in CLIENT_FIELDS}
    if client["user_agent"]:
        client["user_agent"] = client["user_agent"][:MAX_USER_AGENT]
    rows.add(
        number,
        time,
        received_time,
        client,
        _json(properties) if properties else None,
        section if type(section) is str and section else None,
    )


def _times(event: Event, line: bytes) -> tuple[int | None, int | None]:
    """When it happened and when it was received, as far as the line says."""
    time = event.get("time")
    if b'"event_time"' not in line and b'"received_time"' not in line:
        return time, None
    enriched = orjson.loads(line)
    happened, received = enriched.get("event_time"), enriched.get("received_time")
    return (
        happened if type(happened) is int else time,
        received if type(received) is int else None,
    )


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits
        return orjson.dumps(with_small_integers(value)).decode()

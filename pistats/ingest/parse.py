"""A body becomes events: all at once when every event is right, one by one when one is not.

The four forms are told apart by content: an object, an array, an object with `events`, or lines of objects.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from pydantic import ValidationError

from pistats.ingest.body import (
    UTF8_MARK,
    WHITESPACE,
    array_member,
    is_one_value,
    mend_escapes,
    split_array,
    split_lines,
    too_many,
)
from pistats.ingest.event import Event, check, read_envelope, read_envelope_clock, read_event, read_events, rejection
from pistats.ingest.problem import UNREADABLE_BODY, ProblemError
from pistats.ingest.reason import Reason, Rejected, RejectedEventError
from pistats.settings import IngestSettings

ARRAY = ord("[")
OBJECT = ord("{")


@dataclass(frozen=True, slots=True)
class Parsed:
    """The events of a request that can be stored, in order, and the refused ones."""

    events: list[Event]
    indexes: list[int]
    """Where each of `events` stood in the request."""
    rejected: list[Rejected]
    sent_at: int | None
    """By the sender's clock, in Unix ms."""


def parse(body: bytes, limits: IngestSettings) -> Parsed:
    """Every event of the body, either ready to be stored or refused with its reason; none is left out.

    Raises ProblemError: 400 when nothing can be read, 413 when there are too many events.
    """
    body = mend_escapes(body.removeprefix(UTF8_MARK).strip(WHITESPACE))
    if not body:
        raise ProblemError(UNREADABLE_BODY, "The body is empty: send one event, an array of events, or NDJSON.")
    try:
        events, sent_at = _read_at_once(body)
    except ValidationError:
        return _parse_one_by_one(body, limits)
    if len(events) > limits.max_request_events:
        raise too_many(limits.max_request_events)
    if len(body) > limits.max_event_bytes and _may_hold_large_event(events, len(body), limits.max_event_bytes):
        return _parse_one_by_one(body, limits)
    return _sort_out(events, sent_at)


def _read_at_once(body: bytes) -> tuple[list[Event], int | None]:
    if body[0] == ARRAY:
        return read_events(body), None
    if b'"events"' in body:
        envelope = read_envelope(body)
        if "events" in envelope:
            return envelope["events"], envelope.get("sent_at")
    return [read_event(body)], None


def _parse_one_by_one(body: bytes, limits: IngestSettings) -> Parsed:
    items, sent_at = _cut(body, limits.max_request_events + 1)
    if len(items) > limits.max_request_events:
        raise too_many(limits.max_request_events)
    parsed = _sort_out([_read_one(item, limits.max_event_bytes) for item in items], sent_at)
    if items and all(rejected.reason is Reason.INVALID_JSON for rejected in parsed.rejected) and not parsed.events:
        raise ProblemError(UNREADABLE_BODY, f"The body is not JSON: {parsed.rejected[0].detail}")
    return parsed


def _cut(body: bytes, max_items: int) -> tuple[list[bytes], int | None]:
    """The events of the body as they were sent, and `sent_at`."""
    if body[0] == ARRAY:
        return split_array(body, max_items), None
    if body[0] == OBJECT:
        events = array_member(body, b"events")
        if events is not None:
            return split_array(events, max_items), _sent_at(body)
        if is_one_value(body):
            return [body], None
    lines = split_lines(body)
    if any(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        return lines, None
    return [body], None


def _sent_at(envelope: bytes) -> int | None:
    try:
        return read_envelope_clock(envelope).get("sent_at")
    except ValidationError:
        return None


def _read_one(item: bytes, max_bytes: int) -> Event | RejectedEventError:
    if len(item) > max_bytes:
        return RejectedEventError(
            Reason.EVENT_TOO_LARGE, f"The event has {len(item)} bytes: at most {max_bytes} are stored."
        )
    try:
        return read_event(item)
    except ValidationError as error:
        return rejection(error)


def _may_hold_large_event(events: list[Event], body_bytes: int, max_bytes: int) -> bool:
    """Whether one event as sent may have more than `max_bytes`, seen without cutting the body: 0.2 µs an event, not 10.

    What was sent beyond the events' own JSON (spaces, unknown fields) may all belong to the largest one.
    """
    try:
        sizes = [len(orjson.dumps(event)) for event in events]
    except TypeError:  # an integer beyond 64 bits
        return True
    return bool(sizes) and max(sizes) + body_bytes - sum(sizes) > max_bytes


def _sort_out(candidates: Iterable[Event | RejectedEventError], sent_at: int | None) -> Parsed:
    events: list[Event] = []
    indexes: list[int] = []
    rejected: list[Rejected] = []
    for index, candidate in enumerate(candidates):
        try:
            if isinstance(candidate, RejectedEventError):
                raise candidate
            check(candidate)
        except RejectedEventError as error:
            rejected.append(Rejected(index, error.reason, error.detail))
        else:
            events.append(candidate)
            indexes.append(index)
    return Parsed(events, indexes, rejected, sent_at)

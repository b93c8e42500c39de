"""The shape of an enriched event, and of an event that could not be enriched."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

EnrichedEvent = dict[str, Any]
"""One event with exactly the keys of `FIELDS`. Unknown is None. Times are Unix milliseconds UTC."""

CLIENT_TEXT = (
    "event_id",
    "visitor_id",
    "name",
    "url",
    "referrer",
    "title",
    "user_id",
    "user_agent",
    "ip",
    "language",
    "screen",
)
REQUIRED_TEXT = ("site", "event_id", "visitor_id", "name")

FIELDS: tuple[str, ...] = (
    "site",
    "partition",
    "offset",
    "event_id",
    "name",
    "visitor_id",
    "user_id",
    "session_id",
    "time",
    "sent_at",
    "received_time",
    "event_time",
    "url",
    "host",
    "path",
    "section",
    "title",
    "entry_page",
    "exit_page",
    "referrer",
    "source",
    "medium",
    "campaign",
    "term",
    "content",
    "channel",
    "search_term",
    "user_agent",
    "is_bot",
    "bot_name",
    "browser",
    "browser_version",
    "os",
    "os_version",
    "device",
    "ip",
    "country",
    "region",
    "city",
    "language",
    "screen",
    "properties",
)
"""Every field of an enriched event, in the order in which it is written. `tests/unit/enrich` holds the list."""

_BLANK: EnrichedEvent = dict.fromkeys(FIELDS)


class Reason(StrEnum):
    """Why an event became a dead letter. Closed: dashboards and replays filter by it."""

    NOT_JSON = "not_json"
    NOT_AN_EVENT = "not_an_event"
    STEP_FAILED = "step_failed"
    TOOK_TOO_LONG = "took_too_long"
    PROCESS_DIED = "process_died"


@dataclass(frozen=True, slots=True)
class Failure:
    """One event that could not be enriched: the step that gave up, why, and what it saw."""

    stage: str
    reason: Reason
    detail: str


def open_event(payload: bytes, partition: int, offset: int) -> EnrichedEvent | Failure:
    """The record of the log as a blank enriched event; never raises.

    Only the fields of the record's format are taken over: a client cannot set what the steps find out.
    """
    try:
        record = orjson.loads(payload)
    except ValueError as error:
        return Failure("decode", Reason.NOT_JSON, str(error))
    if type(record) is not dict:
        return Failure("decode", Reason.NOT_AN_EVENT, f"a {type(record).__name__}, not an object")
    if problem := _problem(record):
        return Failure("decode", Reason.NOT_AN_EVENT, problem)
    get = record.get
    event = _BLANK.copy()
    event["site"] = record["site"]
    event["partition"] = partition
    event["offset"] = offset
    event["time"] = get("time")
    event["sent_at"] = get("sent_at")
    event["received_time"] = record["received_time"]
    event["properties"] = get("properties")
    for name in CLIENT_TEXT:
        event[name] = get(name)
    return event


def _problem(record: dict[str, Any]) -> str | None:
    """What keeps this object from being a stored event. Types are checked once, so that no step has to."""
    get = record.get
    for name in REQUIRED_TEXT:
        if not get(name):
            return f"{name} is missing"
    if type(record["site"]) is not str:
        return "site is not text"
    for name in CLIENT_TEXT:
        value = get(name)
        if value is not None and type(value) is not str:
            return f"{name} is not text"
    if type(get("received_time")) is not int:
        return "received_time is not Unix milliseconds"
    for name in ("time", "sent_at"):
        value = get(name)
        if value is not None and type(value) is not int:
            return f"{name} is not Unix milliseconds"
    properties = get("properties")
    return "properties is not an object" if properties is not None and type(properties) is not dict else None


def enriched_only(outcomes: Sequence[EnrichedEvent | Failure]) -> list[EnrichedEvent]:
    """The events among the outcomes of `enrich_batch`, in order."""
    return [outcome for outcome in outcomes if not isinstance(outcome, Failure)]

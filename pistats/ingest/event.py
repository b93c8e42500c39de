"""What a client may send, and the checks that one event goes through.

An event is a plain dict with the fields of `Event`: pydantic checks it while it parses (1.4 µs an event, against 2.0
for a model), orjson writes it again (0.2 µs against 1.3).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from pistats.ingest.reason import Reason, RejectedEventError

MAX_PROPERTIES = 100
MAX_DEPTH = 4
"""Of objects and lists in `properties`, which is itself the first level."""

MAX_USER_AGENT = 1_024
"""Characters kept of a user agent. Longer ones are no browser's; they are cut, because senders only pass them on."""

EARLIEST_MS = 946_684_800_000
"""2000-01-01: an older time is seconds taken for milliseconds, or a clock that was never set."""
LATEST_MS = 4_102_444_800_000
"""2100-01-01. Times in the future are wrong clocks; they are mended later, with `sent_at`."""

MAX_INTEGER = 2**63
"""Larger integers are stored as floating-point numbers, as a browser would hold them: databases have 64 bits."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NESTED = (dict, list)


def check_time(value: Any) -> int | None:
    """Unix milliseconds of a time as sent: ISO 8601 with zone, or Unix milliseconds. None stays None."""
    if type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
            milliseconds = int((moment - _EPOCH).total_seconds() * 1000) if moment.tzinfo else None
        except (ValueError, OverflowError):
            milliseconds = None
        if milliseconds is None:
            raise PydanticCustomError("invalid_time", "use ISO 8601 with a zone, such as 2026-11-23T10:00:00Z")
    elif type(value) is int or (type(value) is float and abs(value) < LATEST_MS):
        milliseconds = int(value)
    elif value is None:
        return None
    else:
        raise PydanticCustomError("invalid_time", "use ISO 8601 with a zone, or Unix milliseconds")
    if not EARLIEST_MS <= milliseconds < LATEST_MS:
        raise PydanticCustomError("invalid_time", "not between 2000 and 2100: Unix times count in milliseconds here")
    return milliseconds


def _lenient_time(value: Any) -> int | None:
    try:
        return check_time(value)
    except PydanticCustomError:
        return None


Text64 = Annotated[str | None, Field(max_length=64)]
Text128 = Annotated[str | None, Field(max_length=128)]
Text512 = Annotated[str | None, Field(max_length=512)]
Text2048 = Annotated[str | None, Field(max_length=2_048)]
Time = Annotated[int | None, PlainValidator(check_time)]
SentAt = Annotated[int | None, PlainValidator(_lenient_time)]


class Event(TypedDict, total=False):
    """One event as sent. Unknown fields are dropped, so that a client cannot set what the server sets."""

    __pydantic_config__ = ConfigDict(strict=True, extra="ignore")  # type: ignore[misc]

    event_id: Text64
    name: Text64
    visitor_id: Text128
    user_id: Text128
    url: Text2048
    referrer: Text2048
    title: Text512
    time: Time
    user_agent: str | None
    ip: str | None
    language: Text64
    screen: Text64
    properties: dict[str, Any] | None


class Envelope(TypedDict, total=False):
    """Several events and when they were sent, by the sender's clock. A `sent_at` that cannot be read is left out."""

    __pydantic_config__ = ConfigDict(strict=True, extra="ignore")  # type: ignore[misc]

    events: list[Event]
    sent_at: SentAt


class EnvelopeClock(TypedDict, total=False):
    """The rest of an envelope whose events are read one by one."""

    __pydantic_config__ = ConfigDict(strict=True, extra="ignore")  # type: ignore[misc]

    sent_at: SentAt


# Each raises pydantic's ValidationError.
read_event: Callable[[bytes], Event] = TypeAdapter(Event).validator.validate_json
read_events: Callable[[bytes], list[Event]] = TypeAdapter(list[Event]).validator.validate_json
read_envelope: Callable[[bytes], Envelope] = TypeAdapter(Envelope).validator.validate_json
read_envelope_clock: Callable[[bytes], EnvelopeClock] = TypeAdapter(EnvelopeClock).validator.validate_json


def check(event: Event) -> None:
    """Check what a schema cannot say, and leave the event as it is stored: without empty fields.

    Raises RejectedEventError.
    """
    name = event.get("name")
    if not name or name.isspace():
        raise RejectedEventError(Reason.NAME_MISSING, "An event needs a name, such as page_view.")
    if name == "page_view" and not event.get("url"):
        raise RejectedEventError(Reason.URL_MISSING, "A page_view needs the url of the page.")
    if None in event.values() or "" in event.values():
        for field in [field for field, value in event.items() if value is None or value == ""]:
            del event[field]  # type: ignore[misc]
    properties = event.get("properties")
    if properties:
        _check_properties(properties)


def _check_properties(properties: dict[str, Any]) -> None:
    if len(properties) > MAX_PROPERTIES:
        raise RejectedEventError(
            Reason.TOO_MANY_PROPERTIES, f"properties has {len(properties)} keys: at most {MAX_PROPERTIES} are stored."
        )
    for value in properties.values():
        if type(value) in _NESTED and _depth(value, MAX_DEPTH) >= MAX_DEPTH:
            raise RejectedEventError(
                Reason.PROPERTIES_TOO_DEEP, f"properties is nested deeper than {MAX_DEPTH} levels: flatten it."
            )


def _depth(value: Any, enough: int) -> int:
    """Levels of objects and lists in `value`, counted up to `enough`."""
    if type(value) not in _NESTED:
        return 0
    if enough <= 1:
        return enough
    below = value.values() if type(value) is dict else value
    return 1 + max((_depth(item, enough - 1) for item in below), default=0)


def with_small_integers(value: Any) -> Any:
    """The same JSON value, with integers beyond 64 bits as floating-point numbers. At most `MAX_DEPTH` deep."""
    if type(value) is dict:
        return {key: with_small_integers(item) for key, item in value.items()}
    if type(value) is list:
        return [with_small_integers(item) for item in value]
    if type(value) is int and not -MAX_INTEGER <= value < MAX_INTEGER:
        try:
            return float(value)
        except OverflowError:
            return None
    return value


def rejection(error: ValidationError) -> RejectedEventError:
    """Why pydantic refused one event. The detail names the field and never repeats what was sent."""
    first = error.errors(include_url=False, include_context=True, include_input=False)[0]
    location = first["loc"]
    if not location:
        return _unreadable(first)
    field = str(location[0])
    kind = first["type"]
    if kind == "invalid_time":
        return RejectedEventError(Reason.INVALID_TIME, f"{field}: {first['msg']}.")
    if kind == "string_too_long":
        limit = first.get("ctx", {}).get("max_length")
        reason = Reason.NAME_TOO_LONG if field == "name" else Reason.VALUE_TOO_LONG
        return RejectedEventError(reason, f"{field} has more than {limit} characters.")
    expected = "an object" if field == "properties" else "a string"
    return RejectedEventError(Reason.WRONG_TYPE, f"{field} has to be {expected}.")


def _unreadable(error: ErrorDetails) -> RejectedEventError:
    if error["type"] != "json_invalid":
        return RejectedEventError(Reason.NOT_AN_OBJECT, "An event is a JSON object.")
    if "recursion limit" in error["msg"]:
        return RejectedEventError(Reason.PROPERTIES_TOO_DEEP, "The event is nested too deeply to be read.")
    return RejectedEventError(Reason.INVALID_JSON, f"{error['msg'].removeprefix('Invalid JSON: ')}.")

"""The event in the address of an image: for pages without script."""

from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl

import orjson

from pistats.ingest.event import Event

GIF = b64decode(b"R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
"""One transparent pixel, 43 bytes."""

PROPERTY = "properties."
MAX_PARAMETERS = 200
"""The event's fields and twice as many properties as are stored: more are a mistake or an attack."""


def pixel_event(query: str, page: str | None) -> bytes:
    """The event as JSON: every field of an event by its name, `properties` as JSON or each as `properties.NAME`.

    `page`, which the browser sent as referrer of the image, is the url when none is given. Nothing is checked here:
    what comes out goes the way of every body. Parameters that are no field are left out.
    """
    event: dict[str, Any] = {"url": page} if page else {}
    properties: dict[str, Any] = {}
    try:
        parameters = parse_qsl(query, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        return b""  # too many: refused as unreadable
    for name, value in parameters:
        if name.startswith(PROPERTY):
            properties[name.removeprefix(PROPERTY)] = value
        elif name == "properties":
            event[name] = _json(value)
        elif name == "time" and value.isascii() and value.isdigit() and len(value) <= 15:
            event[name] = int(value)
        elif name in Event.__annotations__:
            event[name] = value
    if properties and isinstance(event.setdefault("properties", {}), dict):
        event["properties"].update(properties)
    return orjson.dumps(event)


def _json(text: str) -> Any:
    """The value in `text`, or the text itself when it is no JSON: then the event is refused for its type."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text

"""How the query API writes its answers."""

from typing import Any

import orjson
from starlette.responses import Response

from pistats.live.view import iso

NDJSON = "application/x-ndjson"


class JsonAnswer(Response):
    """A JSON document of plain values; dates and tuples may be among them. Numbers that are none become null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def moment(time_ms: int | None) -> str | None:
    """ISO 8601 in UTC."""
    return None if time_ms is None else iso(time_ms)

"""How the query API writes its answers."""

from typing import Any

import orjson
from starlette.responses import Response


class JsonAnswer(Response):
    """A JSON document of plain values; dates and tuples may be among them. Numbers that are none become null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)

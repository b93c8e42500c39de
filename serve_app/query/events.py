"""`GET /api/v1/events`."""

from collections.abc import Iterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from pistats.reports.events import EventsPage
from serve_app.query.access import ReadableSite
from serve_app.query.answer import NDJSON
from serve_app.query.parameters import EventsParameters
from serve_app.query.parts import reports_of
from serve_app.query.problem import REPORT_REFUSALS, documented

LINES_AT_ONCE = 200
"""Events of one piece of a streamed answer: some 200 KB."""

EXAMPLE = (
    '{"site":"news","event_id":"a1","name":"page_view","visitor_id":"v1","event_time":1795525507120,"path":"/shop",…}\n'
    '{"next_cursor":"…"}\n'
)

router = APIRouter(tags=["reports"])


@router.get(
    "/events",
    summary="Events, one by one",
    response_class=StreamingResponse,
    responses={
        200: {"description": "One event a line", "content": {NDJSON: {"example": EXAMPLE}}},
        **documented(*REPORT_REFUSALS),
    },
)
async def events(
    request: Request, site: ReadableSite, asked: Annotated[EventsParameters, Query()]
) -> StreamingResponse:
    """Enriched events in event time, up to the second, bots included and flagged. When there is more, the last line is
    `{"next_cursor": "…"}`: ask again with it as `cursor`."""
    page = await (await reports_of(request)).events(site, asked.query(site))
    return StreamingResponse(_lines(page), media_type=NDJSON)


def _lines(page: EventsPage) -> Iterator[bytes]:
    for start in range(0, len(page.events), LINES_AT_ONCE):
        yield b"".join(orjson.dumps(one) + b"\n" for one in page.events[start : start + LINES_AT_ONCE])
    if page.next_cursor is not None:
        yield orjson.dumps({"next_cursor": page.next_cursor}) + b"\n"

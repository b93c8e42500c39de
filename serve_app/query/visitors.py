"""`/api/v1/visitors/ID`: everything about one visitor, to take away or to erase."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import date, timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, status
from starlette.responses import StreamingResponse

from pistats.clock import now_ms
from pistats.enrich import EnrichedEvent
from pistats.reports.events import MAX_EVENTS, EventsQuery
from pistats.reports.history import MAX_DAYS
from pistats.sites import Site
from serve_app.query.access import ReadableSite
from serve_app.query.answer import JsonAnswer, moment
from serve_app.query.parts import Parts, reports_of
from serve_app.query.problem import NOT_FOUND, REPORT_REFUSALS, QueryProblemError, documented
from serve_app.query.shapes import ErasureAnswer, VisitorAnswer

FIRST_DAY = date(1970, 1, 1)
AHEAD = timedelta(days=2)
"""Of today in UTC: a visitor's clock may be ahead, and so may the site's time zone."""

VisitorId = Annotated[str, Path(min_length=1, max_length=128, description="As your pages or servers sent it.")]

router = APIRouter(tags=["visitors"])


@router.get(
    "/visitors/{visitor_id:path}",
    summary="Everything about one visitor",
    response_class=StreamingResponse,
    responses={200: {"model": VisitorAnswer}, **documented(*REPORT_REFUSALS, NOT_FOUND)},
)
async def export_visitor(request: Request, site: ReadableSite, visitor_id: VisitorId) -> StreamingResponse:
    """What is kept of a visitor: totals, sessions (newest first), and every event (oldest first). For a request of
    access by the person it is about."""
    reports = await reports_of(request)
    report = await reports.visitor(site, visitor_id)
    events = _every_event(reports, site, visitor_id)
    first = await anext(events, None)
    if first is None:
        raise QueryProblemError(NOT_FOUND, "Nothing is kept of this visitor: ids are compared letter by letter.")
    head = {
        "visitor_id": visitor_id,
        "user_id": report.user_id,
        "traits": report.traits,
        "totals": asdict(report.totals),
        "sessions": [asdict(session) for session in report.sessions],
        "complete_through": moment(report.complete_through),
    }
    return StreamingResponse(_document(head, first, events), media_type="application/json")


@router.delete(
    "/visitors/{visitor_id:path}",
    summary="Erase one visitor, everywhere",
    response_model=ErasureAnswer,
    responses={202: {"model": ErasureAnswer, "description": "Hidden; removal goes on"}, **documented(*REPORT_REFUSALS)},
)
async def erase_visitor(request: Request, site: ReadableSite, visitor_id: VisitorId) -> JsonAnswer:
    """Nothing that is received of the visitor until `erased_time`, two seconds from now, is shown any more, from the
    answer on and for ever; what comes later is of a new visitor. What is stored is removed: within seconds as far as
    that goes (200), the rest by the next runs of the archive (202). May be repeated, also to see whether it is
    complete."""
    parts: Parts = request.app.state.parts
    known = (await (await reports_of(request)).visitor(site, visitor_id)).totals
    erased = await parts.erasures.erase(site.name, visitor_id)
    return JsonAnswer(
        {
            "visitor_id": visitor_id,
            "erased_time": moment(erased.erased_time),
            "events": known.events,
            "sessions": known.sessions,
            "removed": erased.removed,
            "state": "removed" if erased.complete else "removing",
        },
        status.HTTP_200_OK if erased.complete else status.HTTP_202_ACCEPTED,
    )


async def _every_event(reports: Any, site: Site, visitor_id: str) -> AsyncIterator[tuple[EnrichedEvent, ...]]:
    """All events page by page, in ranges as long as one query may ask for."""
    last_day = date.fromtimestamp(now_ms() / 1000) + AHEAD
    start = FIRST_DAY
    while start <= last_day:
        end = min(last_day, start + timedelta(days=MAX_DAYS - 1))
        cursor = None
        while True:
            query = EventsQuery(from_date=start, to_date=end, visitor=visitor_id, limit=MAX_EVENTS, cursor=cursor)
            page = await reports.events(site, query)
            if page.events:
                yield page.events
            cursor = page.next_cursor
            if cursor is None:
                break
        start = end + timedelta(days=1)


async def _document(
    head: dict[str, Any], first: tuple[EnrichedEvent, ...], rest: AsyncIterator[tuple[EnrichedEvent, ...]]
) -> AsyncIterator[bytes]:
    """One JSON object, of which only a page of events at a time is in memory."""
    yield orjson.dumps(head)[:-1] + b',"events":[' + orjson.dumps(first)[1:-1]
    async for page in rest:
        yield b"," + orjson.dumps(page)[1:-1]
    yield b"]}"

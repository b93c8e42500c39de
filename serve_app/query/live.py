"""`GET /api/v1/live` and the same as server-sent events."""

import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from serve_app.query.access import ReadableSite
from serve_app.query.parts import Parts
from serve_app.query.problem import OVERLOADED, UNAVAILABLE, UNKNOWN_KEY, WRITE_KEY, QueryProblemError, documented
from serve_app.query.shapes import LiveAnswer

MAX_STREAMS = 200
"""Open live streams of one replica; each sends a few kilobytes up to five times a second."""

PING_S = 15
"""A comment goes out this often, so that proxies keep a quiet stream open and a dead client is noticed."""

KEY_CHECK_S = 30.0
"""How long a stream goes on after its read key was replaced."""

STREAM_EXAMPLE = 'event: live\ndata: {"as_of": "2026-11-24T13:05:07.120Z", "current_visitors_5m": 31, …}\n\n'

router = APIRouter(tags=["live"])


@router.get(
    "/live",
    summary="What is happening now",
    response_model=LiveAnswer,
    responses=documented(UNKNOWN_KEY, WRITE_KEY, OVERLOADED, UNAVAILABLE),
)
async def live(request: Request, site: ReadableSite) -> dict[str, Any]:
    """Visitors of the last 5 and 30 minutes, views per minute, top lists, trending topics and the latest events."""
    parts: Parts = request.app.state.parts
    group = await parts.shown.parts()
    async with group.live.reading() as hub:
        return hub.snapshot(site.name)


@router.get(
    "/live/stream",
    summary="What is happening now, on every change",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "An endless stream: each `data:` is the answer of /live",
            "content": {"text/event-stream": {"example": STREAM_EXAMPLE}},
        },
        **documented(UNKNOWN_KEY, WRITE_KEY, OVERLOADED, UNAVAILABLE),
    },
)
async def live_stream(request: Request, site: ReadableSite) -> EventSourceResponse:
    """The answer of `/live` as server-sent events: at once, on every change, and at least once a second; at most five a
    second. A reader that is slow skips answers instead of getting old ones."""
    parts: Parts = request.app.state.parts
    if parts.streams >= MAX_STREAMS:
        raise QueryProblemError(OVERLOADED, f"{MAX_STREAMS} live streams are open already.", {"retry-after": "10"})
    group = await parts.shown.parts()
    async with group.live.reading():  # a problem can be answered only before the stream has begun
        return EventSourceResponse(_answers(parts, site.name, site.read_key_hash), ping=PING_S)


async def _answers(parts: Parts, site: str, read_key_hash: str) -> AsyncIterator[ServerSentEvent]:
    """Until the reader goes or the key is replaced; goes on with another group when that one is shown."""
    parts.streams += 1
    try:
        while await parts.sites.by_read_key_hash(read_key_hash) is not None:
            look_again = time.monotonic() + KEY_CHECK_S
            group = await parts.shown.parts()
            async with group.live.reading() as hub, hub.messages(site) as messages:
                async for message in messages:
                    yield ServerSentEvent(message, event="live")
                    if time.monotonic() >= look_again or await parts.shown.parts() is not group:
                        break
    finally:
        parts.streams -= 1

"""What every request of the query API passes first: bounds on how many there are and how large, and no caching."""

from fastapi import HTTPException
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.query.problem import OVERLOADED, problem_response

MAX_REQUESTS = 256
"""Requests that one process holds at once, live streams included."""

MAX_BODY_BYTES = 100_000
"""A funnel of ten steps with large conditions has some ten kilobytes."""


class Guard:
    """Refuses more than `max_requests` at a time, streams among them, and bodies above 100 KB."""

    def __init__(self, app: ASGIApp, max_requests: int) -> None:
        self._app = app
        self._max_requests = max_requests
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        send = _not_to_be_kept(send)
        if self._open >= self._max_requests:
            detail = f"{self._max_requests} requests are being answered already."
            return await problem_response(OVERLOADED, detail, {"retry-after": "5"})(scope, receive, send)
        self._open += 1
        try:
            return await self._app(scope, _bounded(receive), send)
        finally:
            self._open -= 1


def _not_to_be_kept(send: Send) -> Send:
    """Every answer is someone's numbers, and they change."""

    async def say(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["cache-control"] = "no-store"
        await send(message)

    return say


def _bounded(receive: Receive) -> Receive:
    size = 0

    async def hear() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES:,} bytes: ask for less at a time.")
        return message

    return hear

"""What every request passes before Serve's own code sees it, and how its server waits for them.

Serve finds `middlewares` by `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`, which is set before Ray starts.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from starlette.middleware import Middleware

TICK_S = 1.0
"""uvicorn's server wakes up ten times a second, for the date of its answers and to see whether it is to stop. It is no
setting, and a third to nine tenths of what the event loop of an idle process of Serve does."""

UNWATCHED = (b"x-request-disconnect-disabled", b"?1")

Scope = MutableMapping[str, Any]
Channel = Callable[..., Awaitable[Any]]


QUERY_PATHS = "/api/"
"""Of the query API, whose streams have to notice a reader that has gone."""


class Unwatched:
    """Tells Serve not to watch for a client that hangs up: an append that has begun is finished anyway.

    Saves two tasks and their wait per request, and no handler is cancelled in the middle of one.
    """

    def __init__(self, app: Callable[[Scope, Channel, Channel], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Channel, send: Channel) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(QUERY_PATHS):
            scope["headers"].append(UNWATCHED)
        await self._app(scope, receive, send)


async def main_loop(server: uvicorn.Server) -> None:
    """Keeps the date of a server's answers, until it is to stop: noticed within a second."""
    while not await server.on_tick(0):  # noqa: ASYNC110 (the 0 is that of every tenth tick, which sets the date)
        await asyncio.sleep(TICK_S)


def middlewares() -> list[Middleware]:
    """Called by Serve in every process that answers HTTP, before it starts its server."""
    uvicorn.Server.main_loop = main_loop  # type: ignore[assignment,method-assign]
    return [Middleware(Unwatched)]

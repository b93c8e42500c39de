"""What every request passes before Serve's own code sees it.

Serve finds `middlewares` by `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`, which is set before Ray starts.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.middleware import Middleware

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


def middlewares() -> list[Middleware]:
    """Called by Serve in every process that answers HTTP."""
    return [Middleware(Unwatched)]

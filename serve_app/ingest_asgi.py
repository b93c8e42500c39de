"""The ingest endpoint as a plain ASGI application: routes, headers and status codes, and no decision of its own.

`POST /v1/events`, `GET /v1/pixel.gif`, `GET /t.js`, `GET /healthz`, `GET /readyz`. Raw ASGI because this is the path of
every event: reading the scope directly costs 10 µs a request where a framework costs 60.
"""

import gzip
import hashlib
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from pistats.errors import OverloadedError, PistatsError, RetryableError
from pistats.ingest.accept import Ingest, IngestAnswer, IngestRequest
from pistats.ingest.body import read_body, too_large
from pistats.ingest.client_ip import TrustedProxies
from pistats.ingest.pixel import GIF, pixel_event
from pistats.ingest.problem import (
    CONTENT_TYPE,
    INTERNAL_ERROR,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    ORIGIN_NOT_ALLOWED,
    OVERLOADED,
    UNAVAILABLE,
    UNREADABLE_EVENT,
    ProblemError,
)
from pistats.settings import Settings

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

SCRIPT_MAX_AGE_S = 3_600
"""A changed tracker reaches every browser within the hour; in between it costs no request."""

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")
PLAIN = (b"content-type", b"text/plain; charset=utf-8")

_ANY_ORIGIN: tuple[Header, ...] = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"retry-after"),
)


class Response(NamedTuple):
    """What is sent; a HEAD request gets everything but the body."""

    status: int
    headers: tuple[Header, ...]
    body: bytes


class ClientGoneError(Exception):
    """The client hung up before its request was complete: there is nobody to answer."""


class IngestApp:
    """The ASGI application. Construct it inside the process that serves; `lifespan` starts and stops `ingest`.

    `ready` returns when an append can be made durable, and raises PistatsError, saying why, when not.
    `script` is the tracker as `GET /t.js` serves it.
    """

    def __init__(self, ingest: Ingest, ready: Callable[[], Awaitable[None]], script: bytes, settings: Settings) -> None:
        self._ingest = ingest
        self._ready = ready
        self._limits = settings.ingest
        self._proxies = TrustedProxies(settings.ingest.trusted_proxies)
        self._script = script
        self._packed_script = gzip.compress(script, 9, mtime=0)
        self._etag = b'"' + hashlib.sha256(script).hexdigest()[:32].encode() + b'"'
        self._max_age = str(settings.http.cors_max_age_s).encode()
        self._routes = {
            "/v1/events": ("POST", self._events),
            "/v1/pixel.gif": ("GET", self._pixel),
            "/t.js": ("GET", self._tracker),
            "/healthz": ("GET", self._healthz),
            "/readyz": ("GET", self._readyz),
        }

    async def start(self) -> None:
        """What `lifespan` does first: begin to keep the sites fresh. May be called again."""
        self._ingest.start()

    async def close(self) -> None:
        """What `lifespan` does last: wait for the appends under way."""
        await self._ingest.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an error becomes a problem, whatever it is."""
        if scope["type"] != "http":
            return await self._not_http(scope, receive, send)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        path: str = scope["path"]
        try:
            response = await self._route(path, scope, headers, receive)
        except ClientGoneError:
            return None
        except Exception as error:
            problem = _problem(error)
            cors = _cors(headers, refused=problem.kind is ORIGIN_NOT_ALLOWED) if path.startswith("/v1/") else ()
            extra = (*cors, *problem.headers, NO_STORE)
            response = Response(problem.kind.status, ((b"content-type", CONTENT_TYPE), *extra), problem.body())
        return await _send(send, response, head=scope["method"] == "HEAD")

    async def _route(self, path: str, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Response:
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        route = self._routes.get(path)
        method: str = scope["method"]
        if route is None:
            raise ProblemError(NOT_FOUND, "Events go to POST /v1/events; the tracker is GET /t.js.")
        allowed, handler = route
        if method == allowed or (method == "HEAD" and allowed == "GET"):
            return await handler(scope, headers, receive)
        if method == "OPTIONS":
            return self._preflight(headers, allowed)
        allow = (b"allow", f"{allowed}, OPTIONS".encode())
        raise ProblemError(METHOD_NOT_ALLOWED, f"Use {allowed} here.", (allow,))

    async def _events(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Response:
        limit = self._limits.max_request_bytes

        async def body() -> bytes:
            length = headers.get(b"content-length", b"")
            if length.isdigit() and (len(length) > 15 or int(length) > limit):
                raise too_large(limit)
            message = await receive()
            encoding = headers.get(b"content-encoding")
            first: bytes = message.get("body", b"")
            if encoding is None and not message.get("more_body") and 0 < len(first) <= limit and first[0] != 0x1F:
                return first
            text = "" if encoding is None else encoding.decode("latin-1").strip().lower()
            return await read_body(_chunks(message, receive), text, limit)

        answer = await self._accept(scope, headers, body)
        return Response(202, (JSON, *_cors(headers)), answer.to_json())

    async def _pixel(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Response:  # noqa: ARG002
        image = ((b"content-type", b"image/gif"), NO_STORE, *_cors(headers))
        if scope["method"] == "HEAD":  # a look, not a visit
            return Response(200, image, GIF)
        page = headers.get(b"referer", b"").decode("utf-8", "replace") or None
        query = scope["query_string"].decode("ascii", "replace")

        async def body() -> bytes:
            return pixel_event(query, page)

        answer = await self._accept(scope, headers, body)
        for refused in answer.rejected:
            raise ProblemError(UNREADABLE_EVENT, f"{refused.detail} ({refused.reason})")
        return Response(200, image, GIF)

    async def _accept(
        self, scope: Scope, headers: dict[bytes, bytes], body: Callable[[], Awaitable[bytes]]
    ) -> IngestAnswer:
        key = headers.get(b"x-pistats-key")
        origin = headers.get(b"origin")
        user_agent = headers.get(b"user-agent")
        return await self._ingest.accept(
            IngestRequest(
                key=_query_key(scope["query_string"]) if key is None else key.decode("latin-1"),
                origin=None if origin is None else origin.decode("latin-1"),
                ip=self._client_ip(scope, headers),
                user_agent=None if user_agent is None else user_agent.decode("utf-8", "replace").replace("\0", ""),
                read_body=body,
            )
        )

    def _client_ip(self, scope: Scope, headers: dict[bytes, bytes]) -> str | None:
        peer = scope.get("client")
        forwarded = ""
        if b"x-forwarded-for" in headers:
            lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            forwarded = b",".join(lines).decode("latin-1")
        return self._proxies.client_ip(peer[0] if peer else None, forwarded)

    def _preflight(self, headers: dict[bytes, bytes], method: str) -> Response:
        wanted = headers.get(b"access-control-request-headers", b"content-type, content-encoding, x-pistats-key")
        extra = (
            (b"access-control-allow-methods", f"{method}, OPTIONS".encode()),
            (b"access-control-allow-headers", wanted),
            (b"access-control-max-age", self._max_age),
            (b"allow", f"{method}, OPTIONS".encode()),
        )
        return Response(204, (*_cors(headers), *extra), b"")

    async def _tracker(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Response:  # noqa: ARG002
        shared = (
            (b"etag", self._etag),
            (b"cache-control", b"public, max-age=%d" % SCRIPT_MAX_AGE_S),
            (b"vary", b"accept-encoding"),
            (b"access-control-allow-origin", b"*"),
            (b"cross-origin-resource-policy", b"cross-origin"),
        )
        known = headers.get(b"if-none-match", b"")
        if known == b"*" or self._etag in known:
            return Response(304, shared, b"")
        kind = ((b"content-type", b"text/javascript; charset=utf-8"), (b"x-content-type-options", b"nosniff"))
        if b"gzip" in headers.get(b"accept-encoding", b""):
            packed = (*shared, *kind, (b"content-encoding", b"gzip"))
            return Response(200, packed, self._packed_script)
        return Response(200, (*shared, *kind), self._script)

    async def _healthz(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Response:  # noqa: ARG002
        return Response(200, (PLAIN, NO_STORE), b"up\n")

    async def _readyz(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Response:  # noqa: ARG002
        await self._ready()
        return Response(200, (PLAIN, NO_STORE), b"ready\n")

    async def _not_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1000})
        while scope["type"] == "lifespan":
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.close()
                return await send({"type": "lifespan.shutdown.complete"})
        return None


async def _chunks(message: Message, receive: Receive) -> AsyncIterator[bytes]:
    """The body, chunk by chunk, beginning with a message that was received already."""
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        yield message.get("body", b"")
        if not message.get("more_body"):
            return
        message = await receive()


def _query_key(query: bytes) -> str:
    for parameter in query.split(b"&"):
        if parameter.startswith(b"key="):
            return unquote_plus(parameter[4:].decode("latin-1"))
    return ""


def _cors(headers: dict[bytes, bytes], *, refused: bool = False) -> tuple[Header, ...]:
    """Lets the page read the answer. Beacons count as requests with credentials, which need their origin by name.

    Nothing here looks at a cookie, so allowing credentials gives nobody anything.
    """
    origin = headers.get(b"origin")
    if origin is None or refused:
        return _ANY_ORIGIN
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"retry-after"),
        (b"vary", b"origin"),
    )


def _problem(error: Exception) -> ProblemError:
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RetryableError):
        kind = OVERLOADED if isinstance(error, OverloadedError) else UNAVAILABLE
        return ProblemError(kind, str(error), ((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))),))
    log.exception("a request failed", exc_info=error)
    if isinstance(error, PistatsError):
        return ProblemError(
            UNAVAILABLE, "The stream cannot take events: its operator has to look.", ((b"retry-after", b"60"),)
        )
    return ProblemError(
        INTERNAL_ERROR, "The error is in the server's log. Send the events again, under the same event ids."
    )


async def _send(send: Send, response: Response, *, head: bool) -> None:
    length = () if response.status in (204, 304) else ((b"content-length", b"%d" % len(response.body)),)
    start = {"type": "http.response.start", "status": response.status, "headers": [*response.headers, *length]}
    try:
        await send(start)
        await send({"type": "http.response.body", "body": b"" if head else response.body})
    except (OSError, RuntimeError) as error:  # as servers say that the connection is closed
        log.debug("an answer reached nobody: %s", error)

"""The one door: every request and every socket needs a sign-in, except the login page and the health check."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard import login_page
from dashboard.limiter import LoginLimiter
from dashboard.origin import same_origin
from dashboard.sign_in import SignIn, SignIns, cookie_name
from pistats.dashboard_access import DashboardAccess, verify_password

LOGIN, LOGOUT, HEALTH, CHECK = "/login", "/logout", "/healthz", "/auth/check"

MAX_FORM_BYTES = 10_000
"""A password and a path; anything longer is no login."""

MAX_VERIFICATIONS = 2
"""Hashing takes a core and 64 MiB for 50 ms: two at a time leave the dashboard alive under a flood of guesses."""

SOCKET_REFUSED = 1008
"""WebSocket close code for a policy violation."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "content-security-policy": "frame-ancestors 'self'",
}


class AccessSource(Protocol):
    """Where the gate reads who may enter; None until MongoDB has answered once."""

    @property
    def access(self) -> DashboardAccess | None: ...


class Gate:
    """ASGI middleware: lets a signed-in browser through to `app`, sends everyone else to the login page."""

    def __init__(self, app: ASGIApp, source: AccessSource, sign_in_s: int, clock: Callable[[], int]) -> None:
        self._app = app
        self._source = source
        self._sign_in_s = sign_in_s
        self._sign_ins = SignIns(sign_in_s, clock)
        self._limiter = LoginLimiter(clock)
        self._verifying = asyncio.Semaphore(MAX_VERIFICATIONS)
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    # HTTP

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer = await self._answer(request)
        if answer is not None:
            await answer(scope, receive, _with_headers(send))
        else:
            await self._app(scope, receive, _with_headers(send))

    async def _answer(self, request: Request) -> Response | None:
        """What the gate itself answers; None means: signed in, pass on."""
        path, access = request.url.path, self._source.access
        if path == HEALTH:
            return JSONResponse({"status": "ok"})
        if access is None:
            return login_page.starting()
        if path == LOGIN:
            return await self._login(request, access)
        if path == LOGOUT and request.method == "POST":
            return self._sign_out(request, access)
        if self._checked(request, access) is None:
            return _refuse(request)
        return Response(status_code=204, headers={"cache-control": "no-store"}) if path == CHECK else None

    def _checked(self, connection: HTTPConnection, access: DashboardAccess) -> SignIn | None:
        return self._sign_ins.check(access, connection.cookies.get(cookie_name(access)))

    async def _login(self, request: Request, access: DashboardAccess) -> Response:
        target = login_page.local_target(request.query_params.get("next"))
        if request.method in ("GET", "HEAD"):
            signed_in = self._checked(request, access) is not None
            return RedirectResponse(target, 303) if signed_in else login_page.form(target)
        if request.method != "POST":
            return PlainTextResponse("Method not allowed", 405, headers={"allow": "GET, POST"})
        if not same_origin(request.headers):
            return login_page.form(target, "This form was sent from another site. Please sign in here.", 403)
        return await self._attempt(request, access, target)

    async def _attempt(self, request: Request, access: DashboardAccess, target: str) -> Response:
        address = request.client.host if request.client else ""
        wait_s = self._limiter.wait_s(address)
        if wait_s:
            return login_page.form(
                target, f"Too many attempts. Try again in {wait_s} s.", 429, {"retry-after": str(wait_s)}
            )
        password = await login_page.posted_password(request, MAX_FORM_BYTES)
        # Counted before it is known to be wrong: attempts sent at the same time are not free.
        self._limiter.failed(address)
        async with self._verifying:
            right = bool(password) and await asyncio.to_thread(verify_password, access, password)
        if not right:
            return login_page.form(target, "That is not the password.", 401)
        self._limiter.succeeded(address)
        return self._signed_in(request, access, target)

    def _signed_in(self, request: Request, access: DashboardAccess, target: str) -> Response:
        answer = RedirectResponse(target, 303, headers={"cache-control": "no-store"})
        answer.set_cookie(
            cookie_name(access),
            self._sign_ins.issue(access),
            max_age=self._sign_in_s,
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return answer

    def _sign_out(self, request: Request, access: DashboardAccess) -> Response:
        if not same_origin(request.headers):
            return PlainTextResponse("This was sent from another site.", 403)
        answer = RedirectResponse(LOGIN, 303, headers={"cache-control": "no-store"})
        secure = request.url.scheme == "https"
        answer.delete_cookie(cookie_name(access), path="/", secure=secure, httponly=True, samesite="lax")
        return answer

    # Sockets

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection, access = HTTPConnection(scope), self._source.access
        sign_in = self._checked(connection, access) if access else None
        if sign_in is None or not same_origin(connection.headers):
            await receive()
            await send({"type": "websocket.close", "code": SOCKET_REFUSED, "reason": "sign in first"})
            return
        await self._app(scope, self._until_expiry(connection, sign_in, receive), send)

    def _until_expiry(self, connection: HTTPConnection, sign_in: SignIn, receive: Receive) -> Receive:
        """A `receive` that reports a disconnect when the sign-in ends, so that no socket outlives it."""

        async def guarded() -> Message:
            waiting = asyncio.ensure_future(receive())
            try:
                while not waiting.done():
                    left_s = (sign_in.expires_time - self._clock()) / 1000
                    access = self._source.access
                    if left_s <= 0 or access is None or self._checked(connection, access) is None:
                        return {"type": "websocket.disconnect", "code": SOCKET_REFUSED}
                    await asyncio.wait([waiting], timeout=min(left_s + 0.01, RECHECK_S))
                return waiting.result()
            finally:
                waiting.cancel()

        return guarded


RECHECK_S = 2.0
"""How soon an open socket notices that the password was changed, in seconds."""


def _refuse(request: Request) -> Response:
    """A page goes to the login and comes back; anything else is told 401."""
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return login_page.redirect(request)
    return PlainTextResponse("Sign in first.", 401, headers={"cache-control": "no-store"})


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending

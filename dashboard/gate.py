"""The one door: every request and every socket needs a sign-in, but for the ways in and the health check.

Files of Streamlit that every page begins with are open, too: they are the same for everyone, and the login page
fetches them while someone types a password.
"""

import asyncio
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard import login_page
from dashboard.limiter import LoginLimiter
from dashboard.oidc import START, TARGET_COOKIE, Oidc, take_away
from dashboard.origin import same_origin
from dashboard.sign_in import AccessKeeper, Kind, SignIn, SignIns, cookie_name, share_cookie_name
from pistats.dashboard_access import DashboardAccess, role_of_password
from pistats.share_links import hash_token

LOGIN, LOGOUT, HEALTH, CHECK, SHARE = "/login", "/logout", "/healthz", "/auth/check", "/share/"

SCOPE_KEY = "pistats.sign_in"
"""Where the application behind the gate finds who is asking."""

MAX_FORM_BYTES = 10_000
"""A password and a path; anything longer is no login."""

MAX_VERIFICATIONS = 2
"""Hashing takes a core and 64 MiB for 50 ms: two at a time leave the dashboard alive under a flood of guesses."""

SOCKET_REFUSED = 1008
"""WebSocket close code for a policy violation."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "content-security-policy": "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
    "cross-origin-resource-policy": "same-origin",
}
"""Of every answer that has none of its own; pages say more of what they may load (`shell.policy`).

No `cross-origin-opener-policy`: with it Chromium opens a page in a new process, half a second later, and no page of
ours opens a window that could look back.
"""


class Gate:
    """ASGI middleware: lets a signed-in browser through to `app`, sends everyone else to the login page."""

    def __init__(
        self,
        app: ASGIApp,
        source: AccessKeeper,
        sign_ins: SignIns,
        oidc: Oidc,
        clock: Callable[[], int],
        early: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._source = source
        self._sign_ins = sign_ins
        self._oidc = oidc
        self._limiter = LoginLimiter(clock)
        self._verifying = asyncio.Semaphore(MAX_VERIFICATIONS)
        self._clock = clock
        self._early = tuple(early)
        self._open = frozenset(early)

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
        path = request.url.path
        if path == HEALTH:
            return JSONResponse({"status": "ok"})
        await self._source.look()
        access = self._source.access
        if access is None:
            return login_page.starting()
        if path in (LOGIN, START):
            return await self._login(request, access)
        if path.startswith(SHARE):
            return self._open_share(request, access)
        if path == LOGOUT and request.method == "POST":
            return await self._sign_out(request, access)
        if self._oidc.passes(path) or (path in self._open and request.method == "GET"):
            return None
        return self._for_signed_in(request, access)

    def _for_signed_in(self, request: Request, access: DashboardAccess) -> Response | None:
        sign_in = self._sign_ins.of(request.cookies)
        if sign_in is None or sign_in.role == "guest":
            vouched = self._by_oidc(request, access)
            if vouched is not None:
                return vouched
        if sign_in is None:
            return _refuse(request)
        request.scope[SCOPE_KEY] = sign_in
        if request.url.path == CHECK:
            return Response(status_code=204, headers={"cache-control": "no-store"})
        return None

    # By password

    async def _login(self, request: Request, access: DashboardAccess) -> Response:
        target = login_page.local_target(request.query_params.get("next"))
        if request.url.path == START:
            provider = self._oidc.label
            return self._oidc.start(target, _secure(request)) if provider else RedirectResponse(LOGIN, 303)
        if request.method in ("GET", "HEAD"):
            sign_in = self._sign_ins.of(request.cookies)
            signed_in = sign_in is not None and sign_in.role != "guest"
            return RedirectResponse(target, 303) if signed_in else self._form(target)
        if request.method != "POST":
            return PlainTextResponse("Method not allowed", 405, headers={"allow": "GET, POST"})
        if not same_origin(request.headers):
            return self._form(target, "This form was sent from another site. Please sign in here.", 403)
        return await self._attempt(request, access, target)

    def _form(
        self, target: str, message: str = "", status: int = 200, headers: dict[str, str] | None = None
    ) -> Response:
        return login_page.form(target, message, status, headers, provider=self._oidc.label, early=self._early)

    async def _attempt(self, request: Request, access: DashboardAccess, target: str) -> Response:
        address = request.client.host if request.client else ""
        wait_s = self._limiter.wait_s(address)
        if wait_s:
            return self._form(target, f"Too many attempts. Try again in {wait_s} s.", 429, {"retry-after": str(wait_s)})
        password = await login_page.posted_password(request, MAX_FORM_BYTES)
        # Counted before it is known to be wrong: attempts sent at the same time are not free.
        self._limiter.failed(address)
        async with self._verifying:
            role = await asyncio.to_thread(role_of_password, access, password) if password else None
        if role is None:
            return self._form(target, "That is not the password.", 401)
        self._limiter.succeeded(address)
        return self._signed_in(request, access, target, "password", role)

    # By a provider

    def _by_oidc(self, request: Request, access: DashboardAccess) -> Response | None:
        """The sign-in of a person who has just come back from the provider; None when nobody has."""
        claim = self._oidc.claim(request.cookies)
        if claim is None:
            return None
        if self._oidc.role(claim) is None:
            answer = self._form("/", f"{claim.email} may not open this dashboard. Ask whoever runs it.", 403)
        else:
            target = login_page.local_target(request.cookies.get(TARGET_COOKIE))
            answer = self._signed_in(request, access, target, "oidc", claim.email)
        take_away(answer, request.cookies)
        return answer

    # By a share link

    def _open_share(self, request: Request, access: DashboardAccess) -> Response:
        link = access.shares.get(hash_token(request.url.path.removeprefix(SHARE)))
        if link is None:
            return self._form("/", "This link does not work any more. Ask whoever gave it to you.", 404)
        target = f"/?{urlencode({'site': link.site})}"
        return self._signed_in(request, access, target, "share", link.share_id)

    # In and out

    def _signed_in(self, request: Request, access: DashboardAccess, target: str, kind: Kind, who: str) -> Response:
        answer = RedirectResponse(target, 303, headers={"cache-control": "no-store"})
        answer.set_cookie(
            share_cookie_name(access) if kind == "share" else cookie_name(access),
            self._sign_ins.issue(access, kind, who),
            max_age=self._sign_ins.sign_in_s,
            path="/",
            secure=_secure(request),
            httponly=True,
            samesite="lax",
        )
        return answer

    async def _sign_out(self, request: Request, access: DashboardAccess) -> Response:
        """Ends what the cookies hold, and with it every other window and socket that has the same ones."""
        if not same_origin(request.headers):
            return PlainTextResponse("This was sent from another site.", 403)
        for sign_in in self._sign_ins.all(request.cookies):
            await self._source.end(sign_in.sign_in_id, sign_in.expires_time)
        answer = RedirectResponse(LOGIN, 303, headers={"cache-control": "no-store"})
        for name in (cookie_name(access), share_cookie_name(access)):
            answer.delete_cookie(name, path="/", secure=_secure(request), httponly=True, samesite="lax")
        return answer

    # Sockets

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        await self._source.look()
        sign_in = self._sign_ins.of(connection.cookies)
        if sign_in is None or not same_origin(connection.headers):
            await receive()
            await send({"type": "websocket.close", "code": SOCKET_REFUSED, "reason": "sign in first"})
            return
        scope[SCOPE_KEY] = sign_in
        await self._app(scope, self._until_expiry(connection, sign_in, receive), send)

    def _until_expiry(self, connection: HTTPConnection, sign_in: SignIn, receive: Receive) -> Receive:
        """A `receive` that reports a disconnect when the sign-in ends, so that no socket outlives it."""

        async def guarded() -> Message:
            waiting = asyncio.ensure_future(receive())
            try:
                while not waiting.done():
                    await self._source.look()
                    left_s = (sign_in.expires_time - self._clock()) / 1000
                    now = self._sign_ins.of(connection.cookies)
                    if left_s <= 0 or now is None or (now.role, now.site) != (sign_in.role, sign_in.site):
                        return {"type": "websocket.disconnect", "code": SOCKET_REFUSED}
                    await asyncio.wait([waiting], timeout=min(left_s + 0.01, RECHECK_S))
                return waiting.result()
            finally:
                waiting.cancel()

        return guarded


RECHECK_S = 2.0
"""How soon an open socket notices a sign-out, a changed password or a revoked link, in seconds."""


def _secure(request: Request) -> bool:
    return request.url.scheme == "https"


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

"""The gate: nothing passes without a sign-in, and a sign-in ends when it should."""

import asyncio
import socket
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
import uvicorn
from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from yarl import URL

from dashboard.gate import SCOPE_KEY, Gate
from dashboard.login_page import local_target
from dashboard.oidc import Oidc
from dashboard.sign_in import SignIns, cookie_name, oidc_role
from pistats.dashboard_access import DashboardAccess, new_password
from pistats.settings import DashboardSettings, OidcSettings
from pistats.share_links import ShareLink, hash_token

PASSWORD = "right-password"
VIEWER_PASSWORD = "may-only-look"
TOKEN = "a-token-that-was-given-out"
SIGN_IN_S = 3600
PAGE = {"accept": "text/html"}
EVIL = {"origin": "http://evil.example"}
EARLY = ("/static/js/index.abc.js", "/static/css/index.abc.css")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class Source:
    access: DashboardAccess | None
    stored: DashboardAccess | None = None
    """What the next look finds; None: what is known already."""

    async def look(self) -> None:
        self.access = self.stored or self.access

    async def end(self, sign_in_id: str, _expires_time: int) -> None:
        assert self.access is not None
        self.access = replace(self.access, signed_out=self.access.signed_out | {sign_in_id})


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    text: str


class Client:
    """A browser without redirects, talking to the gate over a real socket."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.socket_ends: list[int] = []

    async def send(self, method: str, path: str, **options: Any) -> Answer:
        async with self.session.request(method, self.url + path, allow_redirects=False, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.send("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        return await self.send("POST", path, **options)

    async def sign_in(self, password: str = PASSWORD, **options: Any) -> Answer:
        return await self.post("/login", data={"password": password}, **options)


@pytest.fixture(scope="module")
def hashed() -> str:
    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)


@pytest.fixture(scope="module")
def viewer_hashed() -> str:
    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(VIEWER_PASSWORD)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(hashed: str, viewer_hashed: str) -> Source:
    link = ShareLink(hash_token(TOKEN), "shop.example", "for the board", 0)
    return Source(DashboardAccess(hashed, "secret", viewer_hashed, {link.share_id: link}))


@pytest.fixture
async def client(source: Source, clock: Clock) -> AsyncIterator[Client]:
    async def page(request: Request) -> PlainTextResponse:
        who = request.scope.get(SCOPE_KEY)
        if who is None:
            return PlainTextResponse("nobody is inside")
        return PlainTextResponse(f"{who.role} inside {request.url.path}" + (f" of {who.site}" if who.site else ""))

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnect as end:
            made.socket_ends.append(end.code)

    sign_ins = SignIns(source, SIGN_IN_S, clock, OidcSettings())
    oidc = Oidc(OidcSettings(), DashboardSettings(), clock)
    app = Starlette(
        routes=[WebSocketRoute("/socket", echo), Route("/{path:path}", page, methods=["GET", "POST"])],
        middleware=[Middleware(Gate, source=source, sign_ins=sign_ins, oidc=oidc, clock=clock, early=EARLY)],
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, ws="websockets-sansio", log_level="error"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        made = Client(session, f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield made
    server.should_exit = True
    await serving


async def expect_refused(client: Client, headers: dict[str, str] | None = None) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.session.ws_connect(client.url + "/socket", headers=headers)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "path", ["/", "/_stcore/health", "/_stcore/host-config", "/static/js/x.js", "/media/x", "/_stcore/upload_file/x"]
)
async def test_nothing_passes_without_a_sign_in(client: Client, path: str) -> None:
    assert (await client.get(path)).status == 401
    assert (await client.post(path)).status == 401
    redirected = await client.get(path, headers=PAGE)
    assert redirected.status == 303
    assert redirected.headers["location"].startswith("/login?next=%2F")


async def test_the_login_page_fetches_ahead_what_every_page_needs_and_nothing_else_is_open(client: Client) -> None:
    login = await client.get("/login")
    for path in EARLY:
        assert f'<link rel="prefetch" href="{path}">' in login.text
        assert (await client.get(path)).text == "nobody is inside"
        assert (await client.post(path)).status == 401
    for path in ("/static/js/index.abc.js/../../../anything", "/static//js/index.abc.js", "/static/js/index.abc.jsx"):
        assert (await client.get(URL(client.url + path, encoded=True).raw_path)).status == 401
    assert "script" not in login.headers["content-security-policy"]


async def test_health_is_open_and_says_nothing_more(client: Client) -> None:
    assert (await client.get("/healthz")).text == '{"status":"ok"}'


async def test_the_right_password_opens_everything_and_the_cookie_is_guarded(client: Client) -> None:
    answer = await client.sign_in(params={"next": "/?site=shop"})
    assert (answer.status, answer.headers["location"]) == (303, "/?site=shop")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert f"max-age={SIGN_IN_S}" in cookie
    assert "secure" not in cookie
    assert (await client.get("/anything")).text == "admin inside /anything"
    assert (await client.get("/auth/check")).status == 204


async def test_over_https_the_cookie_is_secure(client: Client) -> None:
    answer = await client.sign_in(headers={"x-forwarded-proto": "https"})
    assert "; secure" in answer.headers["set-cookie"].lower()


async def test_a_wrong_password_is_refused_and_guessing_is_slowed_down(client: Client, clock: Clock) -> None:
    for _ in range(5):
        answer = await client.sign_in("wrong")
        assert answer.status == 401
        assert "set-cookie" not in answer.headers
    refused = await client.sign_in()
    assert refused.status == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    clock.now += 61_000
    assert (await client.sign_in()).status == 303


async def test_attempts_sent_at_once_are_not_free(client: Client) -> None:
    answers = await asyncio.gather(*(client.sign_in("wrong") for _ in range(20)))
    assert sum(answer.status == 401 for answer in answers) == 5


async def test_behind_a_proxy_each_address_is_slowed_down_for_itself(client: Client) -> None:
    def of(address: str) -> dict[str, str]:
        return {"x-forwarded-for": f"203.0.113.250, {address}"}  # what a client claims of itself stands before it

    for _ in range(5):
        await client.sign_in("wrong", headers=of("198.51.100.7"))
    assert (await client.sign_in(headers=of("198.51.100.7"))).status == 429
    assert (await client.sign_in(headers=of("198.51.100.8"))).status == 303


async def test_every_answer_says_who_may_frame_it_and_is_never_guessed_at(client: Client) -> None:
    await client.sign_in()
    for path in ("/", "/login", "/healthz", "/auth/check", "/nowhere"):
        headers = (await client.get(path)).headers
        assert "frame-ancestors" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_sign_in_expires(client: Client, clock: Clock) -> None:
    await client.sign_in()
    clock.now += (SIGN_IN_S + 2) * 1000
    assert (await client.get("/")).status == 401


async def test_a_forged_cookie_is_refused(client: Client, source: Source) -> None:
    assert source.access is not None
    name = cookie_name(source.access)
    assert (await client.get("/", cookies={name: "admin.AAAAAA.forged"})).status == 401


async def test_a_changed_password_ends_every_sign_in(client: Client, source: Source, hashed: str) -> None:
    await client.sign_in()
    source.access = DashboardAccess(hashed, "another secret")
    assert (await client.get("/")).status == 401


async def test_what_changed_while_nobody_was_there_holds_for_the_first_request(
    client: Client, source: Source, hashed: str
) -> None:
    await client.sign_in()
    source.stored = DashboardAccess(hashed, "another secret")
    assert (await client.get("/")).status == 401


async def test_what_changed_while_nobody_was_there_holds_for_the_first_socket(
    client: Client, source: Source, hashed: str
) -> None:
    await client.sign_in()
    source.stored = DashboardAccess(hashed, "another secret")
    await expect_refused(client)


async def test_an_open_socket_keeps_looking(client: Client, source: Source, hashed: str) -> None:
    await client.sign_in()
    async with client.session.ws_connect(client.url + "/socket") as inside:
        await inside.send_str("hello")
        await inside.receive_str()
        source.stored = DashboardAccess(hashed, "another secret")
        assert (await inside.receive(timeout=10)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_a_viewer_signs_in_as_a_viewer(client: Client) -> None:
    assert (await client.sign_in(VIEWER_PASSWORD)).status == 303
    assert (await client.get("/history")).text == "viewer inside /history"


async def test_a_changed_viewer_password_ends_the_viewers_sign_ins_only(client: Client, source: Source) -> None:
    assert source.access is not None
    await client.sign_in(VIEWER_PASSWORD)
    source.access = replace(source.access, viewer_password_hash="$another")
    assert (await client.get("/")).status == 401
    assert (await client.sign_in()).status == 303
    source.access = replace(source.access, viewer_password_hash=None)
    assert (await client.get("/")).text == "admin inside /"
    assert (await client.sign_in(VIEWER_PASSWORD)).status == 401


async def test_a_viewer_cannot_make_an_admins_cookie(client: Client, source: Source) -> None:
    assert source.access is not None
    await client.sign_in(VIEWER_PASSWORD)
    name = cookie_name(source.access)
    value = client.session.cookie_jar.filter_cookies(URL(client.url))[name].value
    admin = urlsafe_b64encode(b"password:00:admin").decode() + value[value.index(".") :]
    client.session.cookie_jar.clear()
    assert (await client.get("/", cookies={name: admin})).status == 401


async def test_a_share_link_opens_its_site_until_it_is_revoked(client: Client, source: Source) -> None:
    assert source.access is not None
    opened = await client.get(f"/share/{TOKEN}")
    assert (opened.status, opened.headers["location"]) == (303, "/?site=shop.example")
    assert (await client.get("/")).text == "guest inside / of shop.example"
    source.access = replace(source.access, shares={})
    assert (await client.get("/")).status == 401
    assert (await client.get(f"/share/{TOKEN}")).status == 404


async def test_a_wrong_share_link_opens_nothing(client: Client) -> None:
    for token in ("", "wrong", hash_token(TOKEN), TOKEN + "/", "x" * 5_000):
        answer = await client.get(f"/share/{token}")
        assert answer.status == 404
        assert "set-cookie" not in answer.headers


async def test_a_persons_own_sign_in_comes_before_a_share_link(client: Client) -> None:
    await client.sign_in()
    await client.get(f"/share/{TOKEN}")
    assert (await client.get("/")).text == "admin inside /"
    await client.post("/logout")
    assert (await client.get("/")).status == 401


async def test_an_open_socket_ends_when_its_link_is_revoked(client: Client, source: Source) -> None:
    assert source.access is not None
    await client.get(f"/share/{TOKEN}")
    async with client.session.ws_connect(client.url + "/socket") as inside:
        await inside.send_str("hello")
        await inside.receive_str()
        source.access = replace(source.access, shares={})
        assert (await inside.receive(timeout=10)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_without_a_provider_its_paths_are_closed(client: Client) -> None:
    assert (await client.get("/auth/login")).status == 401
    assert (await client.get("/oauth2callback")).status == 401
    assert (await client.get("/login/oidc")).headers["location"] == "/login"


def test_the_lists_decide_what_a_vouched_person_may_do() -> None:
    provider = {"server_metadata_url": "https://id.example", "client_id": "a", "client_secret": "b"}
    oidc = OidcSettings(**provider, admins=("Jane@shop.example",), viewers=("*@shop.example",))  # type: ignore[arg-type]
    assert oidc_role(oidc, "jane@SHOP.example") == "admin"
    assert oidc_role(oidc, "john@shop.example") == "viewer"
    assert oidc_role(oidc, "john@shop.example.evil.example") is None
    assert oidc_role(oidc, "*@shop.example@evil.example") is None
    assert oidc_role(oidc, "nobody") is None
    assert oidc_role(OidcSettings(viewers=("*@shop.example",)), "john@shop.example") is None


async def test_sign_out_takes_the_cookie_away(client: Client) -> None:
    await client.sign_in()
    assert (await client.post("/logout", headers=EVIL)).status == 403
    assert (await client.get("/")).status == 200
    assert (await client.post("/logout")).status == 303
    assert (await client.get("/")).status == 401


async def test_a_sign_out_ends_copies_of_the_cookie_and_open_sockets_and_no_other_sign_in(
    client: Client, source: Source
) -> None:
    assert source.access is not None
    name = cookie_name(source.access)

    async def value() -> str:
        await client.sign_in()
        return client.session.cookie_jar.filter_cookies(URL(client.url))[name].value

    other, mine = await value(), await value()
    async with client.session.ws_connect(client.url + "/socket") as inside:
        await inside.send_str("hello")
        await inside.receive_str()
        await client.post("/logout")
        assert (await inside.receive(timeout=10)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert (await client.get("/", cookies={name: mine})).status == 401
    assert (await client.get("/", cookies={name: other})).status == 200


async def test_a_form_from_another_site_does_not_sign_in(client: Client) -> None:
    assert (await client.sign_in(headers=EVIL)).status == 403
    assert (await client.sign_in(headers={"origin": client.url})).status == 303


async def test_a_login_without_password_or_with_a_huge_body_is_refused(client: Client) -> None:
    assert (await client.post("/login")).status == 401
    assert (await client.post("/login", data={"password": PASSWORD, "more": "x" * 20_000})).status == 401


async def test_until_mongodb_answers_only_health_is_open(client: Client, source: Source) -> None:
    source.access = None
    assert (await client.get("/", headers=PAGE)).status == 503
    assert (await client.get("/login")).status == 503
    assert (await client.get("/healthz")).status == 200
    await expect_refused(client)


async def test_a_socket_needs_a_sign_in_and_our_own_origin(client: Client) -> None:
    await expect_refused(client)
    await client.sign_in()
    await expect_refused(client, EVIL)
    async with client.session.ws_connect(client.url + "/socket", headers={"origin": client.url}) as inside:
        await inside.send_str("hello")
        assert await inside.receive_str() == "hello"


async def test_an_open_socket_ends_with_the_sign_in(client: Client, clock: Clock) -> None:
    await client.sign_in()
    async with client.session.ws_connect(client.url + "/socket") as inside:
        await inside.send_str("hello")
        await inside.receive_str()
        clock.now += (SIGN_IN_S + 2) * 1000
        assert (await inside.receive(timeout=10)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert client.socket_ends == [1008]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/?site=a", "/?site=a"),
        (None, "/"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\nevil", "/"),
        ("/login", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_the_way_back_stays_on_this_server(target: str | None, expected: str) -> None:
    assert local_target(target) == expected


async def test_the_login_page_shows_hostile_input_inert(client: Client) -> None:
    answer = await client.get("/login", params={"next": '/"><script>alert(1)</script>'})
    assert "<script>" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_passwords_are_long_and_easy_to_read() -> None:
    passwords = {new_password() for _ in range(50)}
    assert len(passwords) == 50
    assert all(len(password) == 23 and not set(password) & set("l1o0 ") for password in passwords)

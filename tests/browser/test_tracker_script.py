"""`t.js` in a real Chromium, against a server of another origin that records what it is sent and fails on demand."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page

from serve_app.tracker import SCRIPT

pytestmark = pytest.mark.browser

CORS = {"access-control-allow-origin": "*", "access-control-expose-headers": "retry-after"}
Event = dict[str, Any]


class Server:
    """A site and an ingest endpoint on two ports; `answers` are given in turn, then 202."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answers: list[web.Response] = []
        self.rejected: list[dict[str, Any]] = []
        self.script_attributes = 'data-key="KEY"'
        self.head = ""
        self.body = ""
        self._api_runner: web.AppRunner | None = None
        self._site_runner: web.AppRunner | None = None
        self.api_port = self.site_port = 0

    async def start(self) -> None:
        self._site_runner, self.site_port = await _serve("/{path:.*}", self._page, 0)
        await self.recover()

    async def recover(self) -> None:
        self._api_runner, self.api_port = await _serve("/{path:.*}", self._api, self.api_port)

    async def fail(self) -> None:
        """No process listens any more: connections are refused."""
        assert self._api_runner is not None
        await self._api_runner.cleanup()

    async def stop(self) -> None:
        await self.fail()
        assert self._site_runner is not None
        await self._site_runner.cleanup()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.site_port}{path}"

    @property
    def events(self) -> list[Event]:
        """Acknowledged events, duplicates included."""
        return [event for request in self.requests if request["status"] == 202 for event in request["body"]["events"]]

    def named(self, name: str) -> list[Event]:
        """Acknowledged events of that name, each id once."""
        return list({event["event_id"]: event for event in self.events if event["name"] == name}.values())

    async def _page(self, request: web.Request) -> web.Response:
        tag = f'<script defer src="http://127.0.0.1:{self.api_port}/t.js" {self.script_attributes}></script>'
        head = f"<!doctype html><title>Page {request.path}</title>{self.head}{tag}"
        return web.Response(text=f"{head}<body style='height:3000px'>{self.body}", content_type="text/html")

    async def _api(self, request: web.Request) -> web.Response:
        if request.path == "/t.js":
            return web.Response(text=SCRIPT.read_text(encoding="utf-8"), content_type="text/javascript")
        body = json.loads(await request.text())
        answer = self.answers.pop(0) if self.answers else _accept(len(body["events"]), self.rejected)
        answer.headers.update(CORS)
        record = {"method": request.method, "path": request.path, "key": request.query["key"], "body": body}
        self.requests.append({**record, "type": request.content_type, "status": answer.status})
        return answer


def _accept(count: int, rejected: list[dict[str, Any]]) -> web.Response:
    return web.json_response({"accepted": count, "duplicates": 0, "rejected": rejected}, status=202)


async def _serve(
    path: str, handler: Callable[[web.Request], Awaitable[web.Response]], port: int
) -> tuple[web.AppRunner, int]:
    app = web.Application()
    app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
    await site.start()
    bound: int = runner.addresses[0][1]
    return runner, bound


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(locale="en-GB", screen={"width": 1440, "height": 900})
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


async def eventually(condition: Callable[[], Any], within_s: float = 15) -> None:
    """Polls until the condition holds; fails with what it last was."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not (value := condition()):
        assert asyncio.get_running_loop().time() < deadline, f"not within {within_s} s, last: {value!r}"
        await asyncio.sleep(0.02)


async def queue_of(page: Page) -> list[Event]:
    entries = await page.evaluate(
        "Object.keys(localStorage).filter(k => k.startsWith('pistats_q')).map(k => localStorage[k])"
    )
    return [json.loads(entry) for entry in entries]


async def test_a_page_view_carries_what_the_interface_names(server: Server, page: Page) -> None:
    server.head = '<meta name="pistats:topic" content="elections"><meta name="pistats:section" content="world">'
    await page.goto(server.url("/world?a=1"), referer="https://search.example/")
    await eventually(lambda: server.named("page_view"))

    request, event = server.requests[0], server.named("page_view")[0]
    assert (request["method"], request["path"], request["key"], request["type"]) == (
        "POST", "/v1/events", "KEY", "text/plain",
    )  # fmt: skip
    assert abs(request["body"]["sent_at"] - event["time"]) < 10_000
    assert event["url"] == server.url("/world?a=1")
    assert event["title"] == "Page /world"
    assert event["referrer"] == "https://search.example/"
    assert event["language"] == "en-GB"
    assert event["screen"] == "1440x900"
    assert event["properties"] == {"topic": "elections", "section": "world"}
    assert len(event["event_id"]) == 36
    assert len(event["visitor_id"]) == 36
    assert "user_id" not in event


async def test_a_visitor_keeps_one_id_over_pages_and_tabs(server: Server, page: Page, context: BrowserContext) -> None:
    await page.goto(server.url("/a"))
    await page.goto(server.url("/b"))
    await (await context.new_page()).goto(server.url("/c"))
    await eventually(lambda: len(server.named("page_view")) == 3)
    assert len({event["visitor_id"] for event in server.events}) == 1


async def test_single_page_navigation_counts_each_address_once(server: Server, page: Page) -> None:
    await page.goto(server.url("/start"))
    await eventually(lambda: len(server.named("page_view")) == 1)

    async def step(script: str, views: int) -> None:
        await page.evaluate(script)
        await eventually(lambda: len(server.named("page_view")) == views)

    await step("history.pushState({}, '', '/one'); document.title = 'One'", 2)
    await step("history.pushState({}, '', '/guard'); history.replaceState({}, '', '/two')", 3)  # a router's redirect
    await page.evaluate("history.replaceState({scroll: 1}, '', '/two')")  # state only: no view
    await page.evaluate("history.pushState({}, '', '/two#part')")  # a fragment: no view
    await step("history.go(-2)", 4)
    await step("pistats('event', 'end')", 4)
    await eventually(lambda: server.named("end"))

    views = server.named("page_view")
    assert [event["url"] for event in views] == [server.url(path) for path in ("/start", "/one", "/two", "/one")]
    assert [event["title"] for event in views][:2] == ["Page /start", "One"]
    assert views[1]["referrer"] == server.url("/start")


async def test_custom_events_and_the_calls_before_the_script_arrived(server: Server, page: Page) -> None:
    server.head = (
        "<script>window.pistats=window.pistats||function(){(pistats.q=pistats.q||[]).push(arguments)};"
        "pistats('event','early',{n:1})</script>"
    )
    await page.goto(server.url("/shop"))
    await page.evaluate("pistats('event', 'purchase', {value: 9.5, plan: 'yearly'})")
    await eventually(lambda: server.named("purchase") and server.named("early"))
    assert server.named("early")[0]["properties"] == {"n": 1}
    assert server.named("purchase")[0]["properties"] == {"value": 9.5, "plan": "yearly"}
    assert server.named("purchase")[0]["url"] == server.url("/shop")
    assert [event["name"] for event in server.events] == ["page_view", "early", "purchase"]


async def test_properties_that_are_no_json_do_not_break_the_page(server: Server, page: Page) -> None:
    await page.goto(server.url("/"))
    assert (
        await page.evaluate(
            "(() => { const a = {}; a.a = a; pistats('event', 'x', a); pistats('nonsense'); return 'alive' })()"
        )
        == "alive"
    )
    await eventually(lambda: server.named("page_view"))


async def test_identify_stays_over_pages_until_the_visitor_signs_out(server: Server, page: Page) -> None:
    await page.goto(server.url("/"))
    await page.evaluate("pistats('identify', 'user-7'); pistats('identify', 'user-7')")
    await page.goto(server.url("/next"))
    await eventually(lambda: len(server.named("page_view")) == 2 and server.named("identify"))
    assert [event.get("user_id") for event in server.named("page_view")] == [None, "user-7"]
    assert [event["user_id"] for event in server.named("identify")] == ["user-7"]

    await page.evaluate("pistats('identify', null); pistats('event', 'later')")
    await eventually(lambda: server.named("later"))
    assert "user_id" not in server.named("later")[0]


async def test_an_outbound_link_is_reported_and_an_inner_one_is_not(server: Server, page: Page) -> None:
    server.body = '<a id="in" href="/in">in</a> <a id="out" href="http://localhost:9/x?y=1"><b>out</b></a>'
    await page.goto(server.url("/"))
    await page.click("#in")
    await page.wait_for_url("**/in")
    await page.evaluate("document.addEventListener('click', (e) => e.preventDefault())")
    await page.click("#out b")
    await eventually(lambda: server.named("outbound_click"))
    assert [event["properties"] for event in server.named("outbound_click")] == [{"url": "http://localhost:9/x?y=1"}]


async def test_engagement_is_sent_when_the_page_is_left(server: Server, page: Page) -> None:
    await page.goto(server.url("/long"))
    await eventually(lambda: server.named("page_view"))
    await page.mouse.move(10, 10)
    await page.mouse.wheel(0, 5000)
    await page.wait_for_function("scrollY > 0 && performance.now() > 600")
    await page.mouse.move(20, 20)
    await page.goto(server.url("/next"))
    await eventually(lambda: server.named("engagement"))
    event = server.named("engagement")[0]
    assert event["url"] == server.url("/long")
    assert 0 < event["properties"]["engaged_ms"] <= 20_000
    assert event["properties"]["scroll_percent"] > 30


async def test_engagement_is_sent_when_the_tab_is_hidden_and_stops_there(server: Server, page: Page) -> None:
    await page.goto(server.url("/"))
    await page.mouse.move(10, 10)
    await page.mouse.move(20, 20)
    hide = (
        "(hidden) => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange')) }"
    )
    await page.evaluate(hide, True)
    await eventually(lambda: server.named("engagement"))
    await page.mouse.move(30, 30)  # in a hidden tab: not engaged
    await page.evaluate(hide, False)
    await page.evaluate(hide, True)
    await page.evaluate("pistats('event', 'end')")
    await eventually(lambda: server.named("end"))
    assert len(server.named("engagement")) == 1


async def test_without_input_there_is_no_engagement(server: Server, page: Page) -> None:
    await page.goto(server.url("/idle"))
    await eventually(lambda: server.named("page_view"))
    await page.goto(server.url("/next"))
    await eventually(lambda: len(server.named("page_view")) == 2)
    assert server.named("engagement") == []


async def test_an_outage_loses_nothing_and_the_ids_stay(server: Server, page: Page) -> None:
    await page.goto(server.url("/"))
    await eventually(lambda: server.named("page_view"))
    await server.fail()
    await page.evaluate("for (let n = 0; n < 5; n++) pistats('event', 'during', {n})")
    waiting = await queue_of(page)
    assert len(waiting) == 5
    await page.wait_for_timeout(1_500)  # the first tries fail while nobody listens
    await server.recover()
    await eventually(lambda: len(server.named("during")) == 5)
    assert {event["event_id"] for event in server.named("during")} == {event["event_id"] for event in waiting}
    assert [event["properties"]["n"] for event in server.named("during")] == [0, 1, 2, 3, 4]
    await page.wait_for_function("!Object.keys(localStorage).some(k => k.startsWith('pistats_q'))")


async def test_the_queue_survives_reloads(server: Server, page: Page, context: BrowserContext) -> None:
    await page.goto(server.url("/"))
    await eventually(lambda: server.named("page_view"))
    server.answers = [web.Response(status=500) for _ in range(4)]
    await page.evaluate("pistats('event', 'kept')")
    kept = (await queue_of(page))[0]["event_id"]
    await eventually(lambda: any(request["status"] == 500 for request in server.requests))
    await page.close()
    again = await context.new_page()
    await again.goto(server.url("/again"))
    await eventually(lambda: server.named("kept"))
    assert server.named("kept")[0]["event_id"] == kept


async def test_a_retried_request_carries_the_same_ids(server: Server, page: Page) -> None:
    server.answers = [web.Response(status=500), web.Response(status=503)]
    await page.goto(server.url("/"))
    await eventually(lambda: server.named("page_view"))
    tries = [[event["event_id"] for event in request["body"]["events"]] for request in server.requests]
    assert [request["status"] for request in server.requests] == [500, 503, 202]
    assert tries[0] == tries[1] == tries[2]


async def test_retry_after_is_kept_by_every_page(server: Server, page: Page) -> None:
    server.answers = [web.Response(status=429, headers={"retry-after": "3"})]
    await page.goto(server.url("/"))
    await eventually(lambda: server.requests)
    await page.goto(server.url("/next"))
    assert await page.evaluate("localStorage.pistats_wait - Date.now()") > 0
    assert len(server.requests) == 1
    await eventually(lambda: len(server.named("page_view")) == 2)
    asked = int(await page.evaluate("localStorage.pistats_wait"))
    assert server.requests[1]["body"]["sent_at"] >= asked


@pytest.mark.parametrize("status", [400, 401, 403, 413])
async def test_a_final_refusal_drops_the_events_with_a_warning(server: Server, page: Page, status: int) -> None:
    server.answers = [web.Response(status=status, text="no such key")]
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text) if message.type == "warning" else None)
    await page.goto(server.url("/"))
    await eventually(lambda: warnings)
    assert warnings == [f"pistats: events dropped {status} no such key"]
    assert await queue_of(page) == []


async def test_rejected_events_are_not_sent_again(server: Server, page: Page) -> None:
    server.rejected = [{"index": 0, "reason": "url_too_long", "detail": ""}]
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text) if message.type == "warning" else None)
    await page.goto(server.url("/"))
    await eventually(lambda: warnings)
    assert "url_too_long" in warnings[0]
    assert await queue_of(page) == []


@pytest.mark.parametrize("signal", ["doNotTrack", "globalPrivacyControl"])
async def test_do_not_track_stores_and_sends_nothing(server: Server, page: Page, signal: str) -> None:
    value = "'1'" if signal == "doNotTrack" else "true"
    await page.add_init_script(f"Object.defineProperty(Navigator.prototype, '{signal}', {{get: () => {value}}})")
    await page.goto(server.url("/"))
    await page.evaluate("pistats('event', 'x'); pistats('identify', 'me')")
    await page.goto(server.url("/next"))
    await page.wait_for_timeout(500)  # nothing to wait for: nothing may come
    assert server.requests == []
    assert await page.evaluate("localStorage.length + document.cookie.length") == 0


async def test_the_queue_is_bounded_and_drops_the_oldest(server: Server, page: Page) -> None:
    await page.goto(server.url("/"))
    await eventually(lambda: server.named("page_view"))
    await server.fail()
    await page.evaluate("for (let n = 0; n < 1100; n++) pistats('event', 'n', {n})")
    await page.evaluate("pistats('event', 'large', {text: 'x'.repeat(30000)})")
    await page.evaluate("dispatchEvent(new Event('online'))")  # tries at once
    await page.wait_for_function("Object.keys(localStorage).filter(k => k.startsWith('pistats_q')).length <= 1000")
    await server.recover()
    await page.evaluate("dispatchEvent(new Event('online'))")
    await eventually(lambda: server.named("large"), within_s=60)
    numbers = [event["properties"]["n"] for event in server.named("n")]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 1099
    assert numbers[0] > 100
    assert sum(len(json.dumps(event)) for event in server.named("n")) < 230_000


async def test_an_entry_older_than_the_dedupe_window_is_dropped(server: Server, page: Page) -> None:
    old = 1_600_000_000_000
    await page.add_init_script(f'localStorage[\'pistats_q.KEY.{old}abc\'] = \'{{"event_id":"abc","name":"old"}}\'')
    await page.goto(server.url("/"))
    await eventually(lambda: server.named("page_view"))
    assert server.named("old") == []
    assert await queue_of(page) == []


async def test_two_tabs_send_everything_and_then_fall_silent(server: Server, context: BrowserContext) -> None:
    tabs = [await context.new_page() for _ in range(2)]
    await asyncio.gather(*(tab.goto(server.url(f"/tab{n}")) for n, tab in enumerate(tabs)))
    server.answers = [web.Response(status=500)]
    script = "(tab) => { for (let n = 0; n < 40; n++) setTimeout(() => pistats('event', 'e', {tab, n}), n * 20) }"
    await asyncio.gather(*(tab.evaluate(script, n) for n, tab in enumerate(tabs)))
    await eventually(lambda: len(server.named("e")) == 80)
    assert {(event["properties"]["tab"], event["properties"]["n"]) for event in server.named("e")} == {
        (tab, n) for tab in range(2) for n in range(40)
    }
    for tab in tabs:
        await tab.wait_for_function("!Object.keys(localStorage).some(k => k.startsWith('pistats_q'))")
    assert len(server.events) <= 2 * 82, "an event was sent again and again"


async def test_without_local_storage_a_cookie_keeps_the_visitor(server: Server, page: Page) -> None:
    await page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('blocked') }})")
    await page.goto(server.url("/a"))
    await eventually(lambda: server.named("page_view"))
    await page.goto(server.url("/b"))
    await eventually(lambda: len(server.named("page_view")) == 2)
    assert len({event["visitor_id"] for event in server.events}) == 1
    assert "pistats_visitor=" in await page.evaluate("document.cookie")


async def test_an_insecure_context_gets_ids_too(server: Server, page: Page) -> None:
    await page.add_init_script("delete Crypto.prototype.randomUUID")
    await page.goto(server.url("/"))
    await eventually(lambda: server.named("page_view"))
    event = server.named("page_view")[0]
    assert len(event["event_id"]) == len(event["visitor_id"]) == 36
    assert event["event_id"][14] == "4"


async def test_the_endpoint_may_be_elsewhere_and_a_second_tag_counts_nothing(server: Server, page: Page) -> None:
    server.script_attributes = f'data-key="KEY" data-api="http://localhost:{server.api_port}/prefix"'
    server.head = f'<script defer src="http://127.0.0.1:{server.api_port}/t.js" {server.script_attributes}></script>'
    await page.goto(server.url("/"))
    await page.evaluate("pistats('event', 'end')")
    await eventually(lambda: server.named("end"))
    assert {request["path"] for request in server.requests} == {"/prefix/v1/events"}
    assert len(server.named("page_view")) == 1

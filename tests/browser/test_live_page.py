"""The live page in Chromium: it moves by itself, says how fresh it is, and shows hostile text as text."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from pistats.clock import now_ms
from pistats.mongo.server import MongodServer
from pistats.settings import MongoSettings
from tests.browser.layout_shift import MAIN, watch_shifts
from tests.browser.running_dashboard import Dashboard, event, nameless, running_dashboard, screenshot, sign_in

pytestmark = pytest.mark.browser

CURRENT = '[data-number="current_visitors_5m"]'
UNSEEN_JS = """(unseen) => {
  Object.defineProperty(document, 'hidden', { value: unseen, configurable: true })
  document.dispatchEvent(new Event('visibilitychange'))
}"""
"""Chromium without a window shows every tab: the page is told that nobody sees it, as a browser would tell it."""
HALF_HOUR = '[data-number="visitors_30m"]'


async def test_committed_events_appear_without_a_reload(dashboard: Dashboard, page: Page) -> None:
    await sign_in(page, dashboard)
    await expect(page.get_by_text("Waiting for the first event")).to_be_visible()
    await screenshot(page, "live_empty")
    await page.evaluate("window.kept = true")

    await dashboard.commit(
        event(path="/world/floods", visitor_id="a"),
        event(path="/world/floods", visitor_id="b", source="Bing", country="DE", device="desktop"),
        event(path="/sport", visitor_id="b", event_time=now_ms() - 10 * 60_000),
        event(name="signup", path="/join", visitor_id="c"),
    )

    await expect(page.locator(CURRENT)).to_have_text("3", timeout=2_000)
    await expect(page.locator(HALF_HOUR)).to_have_text("3")
    await expect(page.get_by_text("Waiting for the first event")).to_be_hidden()
    rows = page.locator('[data-panel="top_pages"] .row')
    await expect(rows.first).to_contain_text("/world/floods")
    await expect(rows.first.locator(".value")).to_have_text("2")
    await expect(page.locator('[data-panel="countries"]')).to_contain_text("Germany")
    await expect(page.locator('.map [data-country="IN"]')).to_have_attribute("aria-label", "India · 2 visitors")
    await expect(page.locator('[data-panel="sources"]')).to_contain_text("Bing")
    await expect(page.locator('[data-panel="devices"]')).to_contain_text("Mobile")
    await expect(page.locator('[data-panel="events"]')).to_contain_text("signup")
    await expect(page.locator('[data-panel="feed"] .row')).to_have_count(4)
    await expect(page.locator(".status-text")).to_contain_text("behind")
    assert await nameless(page) == []
    await screenshot(page, "live")
    await page.locator('.map [data-country="DE"]').hover()
    await expect(page.locator(".tip")).to_have_text("Germany · 1 visitor")

    await dashboard.commit(event(path="/new", visitor_id="d"))
    await expect(page.locator(CURRENT)).to_have_text("4", timeout=2_000)

    await page.evaluate(UNSEEN_JS, True)
    await dashboard.commit(*(event(path=f"/unseen/{n}", visitor_id="e") for n in range(30)))
    await expect(page).to_have_title("5 on news.example · piStats", timeout=2_000)
    await expect(page.locator(CURRENT)).to_have_text("4")
    await page.evaluate(UNSEEN_JS, False)
    await expect(page.locator(CURRENT)).to_have_text("5", timeout=500)
    feed = page.locator('[data-panel="feed"] .row:not(.gone)')
    await expect(feed).to_have_text([re.compile("/unseen/")] * 20)
    assert await page.evaluate("window.kept"), "the page was reloaded"


async def test_the_page_is_closed_to_strangers(dashboard: Dashboard, page: Page) -> None:
    await page.goto(f"{dashboard.url}/?site=shop.example")
    await expect(page.locator("#password")).to_be_focused()
    await page.fill("#password", "guess")
    await page.click("button[type=submit]")
    await expect(page.get_by_role("alert")).to_contain_text("not the password")
    await page.fill("#password", dashboard.password)
    await page.click("button[type=submit]")
    await page.wait_for_selector(".live[data-state=live]")
    assert page.url == f"{dashboard.url}/?site=shop.example"

    await page.get_by_role("button", name="Sign out").click()
    await expect(page.locator("#password")).to_be_visible()
    await page.goto(dashboard.url)
    await expect(page.locator("#password")).to_be_visible()


async def test_the_site_is_part_of_the_address(dashboard: Dashboard, page: Page) -> None:
    await dashboard.commit(event(site="shop.example", path="/basket"), event(site="news.example", path="/world"))
    await sign_in(page, dashboard, "/?site=shop.example")
    pages = page.locator('[data-panel="top_pages"]')
    await expect(pages).to_contain_text("/basket")
    await page.get_by_role("combobox", name="Site").click()
    await page.get_by_role("option", name="news.example").click()
    await expect(pages).to_contain_text("/world")
    await expect(pages).not_to_contain_text("/basket")
    await page.wait_for_url("**/?site=news.example")
    await page.reload()
    await expect(pages).to_contain_text("/world")
    await dashboard.commit(event(site="news.example", path="/later"))
    await expect(pages).to_contain_text("/later", timeout=2_000)


HOSTILE = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "[click me](javascript:window.hacked=3)",
    "**bold** _em_ `code` # title",
    "$\\frac{1}{2}$ :red[red] :material/home:",
    '=HYPERLINK("http://evil.example")',
    "\u202eevil\u202c \u2066rtl\u2069 مرحبا",
    "{{7*7}} ${7*7} %s %n \x00 \ufeff",
    "Z\u0351\u036b\u0343alg\u0328o" + "\u0301" * 50,
    "w" * 2000,
)


async def test_hostile_text_is_shown_as_text(dashboard: Dashboard, page: Page) -> None:
    await sign_in(page, dashboard)
    for text in HOSTILE:
        await dashboard.commit(
            event(path=text, title=text, source=text, country=text, device=text, browser=text, visitor_id=text),
            event(name=text[:64], path=text, visitor_id=text, city=text, channel=text),
        )
    for text in HOSTILE[:5]:
        await dashboard.commit(*(event(properties={"topic": text, text: text}) for _ in range(6)))
    await expect(page.locator('[data-panel="trending"] .row')).to_have_count(5)
    await expect(page.locator('[data-panel="feed"] .row')).to_have_count(20, timeout=10_000)
    live = page.locator(".live")
    for text in HOSTILE[:5]:
        await expect(live).to_contain_text(text[:60])
    assert await page.evaluate("window.hacked") is None
    strange_link = 'a:not([href^="/history?"], [href^="/site-settings?"])'
    assert await live.locator(f"script, img, {strange_link}, strong, em, .katex").count() == 0
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await screenshot(page, "live_hostile")

    await page.reload()  # now the text comes with the page's first data
    await expect(page.locator('[data-panel="feed"] .row')).to_have_count(20, timeout=10_000)
    assert await page.evaluate("window.hacked") is None


async def test_a_lost_socket_says_so_and_comes_back(dashboard: Dashboard, page: Page) -> None:
    await sign_in(page, dashboard)
    await page.context.set_offline(True)
    await dashboard.commit(event(visitor_id="meanwhile"))
    await page.wait_for_selector(".live[data-state=reconnecting]", timeout=15_000)
    await page.context.set_offline(False)
    await dashboard.commit()
    await page.wait_for_selector(".live[data-state=live]", timeout=15_000)
    await expect(page.locator(CURRENT)).to_have_text("1")


async def test_a_killed_mongod_heals_by_itself(page: Page, tmp_path: Path) -> None:
    server = MongodServer(tmp_path / "mongod", MongoSettings(cache_mb=256))
    uri = await asyncio.to_thread(server.start)
    try:
        async with running_dashboard(uri, tmp_path) as dashboard:
            await dashboard.commit(event(visitor_id="before"))
            await sign_in(page, dashboard)
            await expect(page.locator(CURRENT)).to_have_text("1")

            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await page.wait_for_selector(".live[data-state=reconnecting]", timeout=15_000)
            await screenshot(page, "live_reconnecting")
            await expect(page.locator(HALF_HOUR)).to_have_text("1")

            await asyncio.to_thread(server.ensure_running)
            await dashboard.commit(event(visitor_id="after"))
            await page.wait_for_selector(".live[data-state=live]", timeout=30_000)
            await expect(page.locator(CURRENT)).to_have_text("2", timeout=5_000)
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_sign_in_that_was_ended_leads_to_the_login(dashboard: Dashboard, page: Page) -> None:
    await sign_in(page, dashboard)
    await dashboard.system.settings.update_one({"_id": "dashboard"}, {"$set": {"cookie_secret": "another"}})
    await expect(page.locator("#password")).to_be_visible()


@pytest.mark.parametrize("width", [420, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_fits_and_follows_the_theme(
    dashboard: Dashboard, browser: Browser, width: int, scheme: str
) -> None:
    await dashboard.commit(*(event(path=f"/a/rather/long/path/number/{n}", country="DE") for n in range(30)))
    context = await browser.new_context(
        viewport={"width": width, "height": 1000},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = await context.new_page()
    await watch_shifts(page)
    await sign_in(page, dashboard)
    assert await page.evaluate("document.documentElement.scrollWidth") == width
    background = await page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert background == ("rgb(16, 17, 22)" if scheme == "dark" else "rgb(247, 247, 249)")
    await screenshot(page, f"live_{scheme}_{width}")

    await page.evaluate(f"{MAIN}.scrollTop = 450; window.shifts.length = 0")
    for n in range(5):
        await dashboard.commit(*(event(path=f"/b/{n}") for _ in range(30)))
        await expect(page.locator('[data-panel="top_pages"]')).to_contain_text(f"/b/{n}")
    assert await page.evaluate("window.shifts.reduce((sum, { value }) => sum + value, 0)") < 0.001
    assert await page.evaluate(f"{MAIN}.scrollTop") == 450
    await context.close()


async def test_definitions_show_on_hover(dashboard: Dashboard, page: Page) -> None:
    await sign_in(page, dashboard)
    await page.get_by_text("Current visitors").hover()
    await expect(page.locator(".tip")).to_contain_text("Distinct visitors with an event in the last 5 minutes")
    await expect(page.locator(".tip")).to_have_css("opacity", "1")

"""From a click on a web page to the live page: two windows of Chromium on a whole running system."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, expect

from tests.browser.running_dashboard import screenshot
from tests.running_system import RunningSystem

pytestmark = [pytest.mark.browser, pytest.mark.system]

SITE = "demo-to-live"
PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
"""Headless Chromium's own name is that of a bot, and bots are not shown."""
PROMISE_MS = 2_000
"""From the click to the live page."""


@pytest_asyncio.fixture(loop_scope="module")
async def demo_site(system: RunningSystem) -> AsyncIterator[str]:
    """The demo site with a key of the running system."""
    key = (await asyncio.to_thread(system.site, SITE))["write_key"]
    command = [sys.executable, "-m", "pistats.demo_site", "--port", "0", "--key", key, "--api", system.url]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=dict(os.environ))
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = (await process.stdout.readline()).decode()
    yield line.removeprefix("demo site: ").strip().rstrip("/")
    process.send_signal(signal.SIGTERM)
    await process.wait()


@pytest_asyncio.fixture(loop_scope="module")
async def person(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1440, "height": 1000}, user_agent=PERSON)
    yield context
    await context.close()


async def test_three_clicks_are_live_within_two_seconds(
    system: RunningSystem, demo_site: str, person: BrowserContext
) -> None:
    live, visit = await person.new_page(), await person.new_page()
    await live.goto(f"{system.dashboard_url}/?site={SITE}")
    await live.fill("#password", system.password)
    await live.click("button[type=submit]")
    await expect(live.get_by_text("Waiting for the first event")).to_be_visible()
    await live.evaluate("window.kept = true")
    pages = live.locator('[data-panel="top_pages"]')

    await visit.goto(demo_site)
    await expect(pages).to_contain_text("/", timeout=30_000)  # a first event also loads and wakes what was idle
    for link, path in (
        ("nav >> text=Science", "/science"),
        ("text=Your photographs of the comet", "/science/comet-photographs"),
        ("nav >> text=Sport", "/sport"),
    ):
        await visit.click(link)
        await expect(pages.locator(f'.name[title="{path}"]')).to_be_attached(timeout=PROMISE_MS)

    await expect(live.locator('[data-number="current_visitors_5m"]')).to_have_text("1")
    assert await live.evaluate("window.kept"), "the live page was reloaded"
    await live.bring_to_front()
    await screenshot(live, "demo_to_live")
    await screenshot(visit, "demo_site")

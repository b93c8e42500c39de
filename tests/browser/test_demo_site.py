"""The demo site in a real Chromium, with the real tracker: what a reader does arrives as events."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser

from serve_app.tracker import SCRIPT

pytestmark = pytest.mark.browser


class Ingest:
    """Accepts everything and keeps it, each id once."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.url = ""
        self._arrived = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        headers = {"access-control-allow-origin": "*"}
        if request.path == "/t.js":
            return web.Response(text=SCRIPT.read_text(encoding="utf-8"), content_type="text/javascript")
        events = json.loads(await request.text())["events"]
        self.events.update({event["event_id"]: event for event in events})
        self._arrived.set()
        answer = {"accepted": len(events), "duplicates": 0, "rejected": []}
        return web.json_response(answer, status=202, headers=headers)

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events.values() if event["name"] == name]

    async def wait_for(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        async with asyncio.timeout(15):
            while len(self.named(name)) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.named(name)


@pytest_asyncio.fixture(loop_scope="module")
async def ingest() -> AsyncIterator[Ingest]:
    ingest = Ingest()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", ingest.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ingest.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield ingest
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def site(ingest: Ingest) -> AsyncIterator[str]:
    """The site as a process of its own, ended by SIGTERM: it has to go quickly and cleanly."""
    command = [sys.executable, "-m", "pistats.demo_site", "--port", "0", "--key", "KEY", "--api", ingest.url]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=dict(os.environ))
    assert process.stdout is not None
    async with asyncio.timeout(30):
        line = (await process.stdout.readline()).decode()
    yield line.removeprefix("demo site: ").strip().rstrip("/")
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await process.wait() == 0


async def test_a_reader_clicks_searches_shares_and_subscribes(ingest: Ingest, site: str, browser: Browser) -> None:
    page = await browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    await page.goto(site)
    await page.click("nav >> text=Science")
    await page.click("text=Your photographs of the comet")
    views = await ingest.wait_for("page_view", 3)
    assert [event["url"].removeprefix(site) for event in views] == ["/", "/science", "/science/comet-photographs"]
    assert views[2]["properties"] == {"topic": "comet", "section": "science"}

    await page.click("text=Mail")
    assert (await ingest.wait_for("share"))[0]["properties"] == {"network": "mail"}
    assert await page.inner_text(".story [role=status]") == "Sent, in spirit."
    await page.click("text=€90 a year")
    bought = (await ingest.wait_for("purchase"))[0]["properties"]
    assert bought == {"plan": "yearly", "value": 90, "currency": "EUR"}
    await page.fill("[name=name]", "Ada")
    await page.click("#subscribe button")
    assert (await ingest.wait_for("subscribe"))[0]["user_id"] == "reader-ada"

    await page.fill("[name=q]", "<b>coffee")
    await page.press("[name=q]", "Enter")
    assert (await ingest.wait_for("search"))[0]["properties"] == {"words": "<b>coffee", "results": 0}
    assert await page.inner_text("h1") == "<b>coffee"
    assert (await page.goto(f"{site}/nowhere")).status == 404  # type: ignore[union-attr]
    assert errors == []

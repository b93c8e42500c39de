"""A real Chromium, one for each module, and a real dashboard of each test's own for it to look at."""

import inspect
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from pistats.clock import now_ms
from tests.browser.running_dashboard import Dashboard, running_dashboard
from tests.browser.visited_site import visits
from tests.warehouse_events import chunk_document

HERE = Path(__file__).parent
ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 60_000
"""Whatever has to come within a time says so itself; all else may wait for a busy processor."""
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of a module share an event loop, for Chromium lives in it. So must every fixture that uses it."""
    for item in items:
        if item.path.parent == HERE and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(loop_scope="module")
async def dashboard(mongo_uri: str, tmp_path: Path) -> AsyncIterator[Dashboard]:
    """A dashboard of this test's own, with two sites and no event yet."""
    async with running_dashboard(mongo_uri, tmp_path) as dashboard:
        yield dashboard


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """The system's Chromium: open a context of your own in it.

    Missing: skipped on a developer's machine, a failure in CI.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "No Chromium on this machine: install the package `chromium`"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """One tab of a desktop window. A script error on the page fails the test."""
    context = await browser.new_context(viewport={"width": 1440, "height": 1000})
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    await context.close()
    assert errors == []


@pytest_asyncio.fixture(loop_scope="module")
async def told(dashboard: Dashboard) -> Dashboard:
    """The dashboard of a site with twelve days of visits, which wait in the outbox, as a consumer leaves them."""
    events = [{**event, "offset": offset} for offset, event in enumerate(visits(now_ms()))]
    await dashboard.group.chunks.insert_one(chunk_document(events))
    await dashboard.commit()
    return dashboard

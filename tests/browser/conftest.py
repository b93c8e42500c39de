"""A real Chromium, and a real dashboard for it to look at."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.running_dashboard import Dashboard, running_dashboard

ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
async def dashboard(mongo_uri: str, tmp_path: Path) -> AsyncIterator[Dashboard]:
    """A dashboard of this test's own, with two sites and no event yet."""
    async with running_dashboard(mongo_uri, tmp_path) as dashboard:
        yield dashboard


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """The system's Chromium. Missing: skipped on a developer's machine, a failure in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "No Chromium on this machine: install the package `chromium`"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """One tab of a desktop window. A script error on the page fails the test."""
    context = await browser.new_context(viewport={"width": 1440, "height": 1000})
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    await context.close()
    assert errors == []

"""The system's Chromium, as the benchmarks start it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

ARGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One without a window. Raises RuntimeError when there is none on this machine."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise RuntimeError("No Chromium on this machine: install the package `chromium`.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(ARGS))
        try:
            yield browser
        finally:
            await browser.close()

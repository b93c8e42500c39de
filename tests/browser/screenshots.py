"""Every page, light and dark, wide and narrow, into `artifacts/`: `make screenshots`. For people to look at.

`python -m tests.browser.screenshots --readme` takes the pictures of the README again, into `docs/images`.
"""

import asyncio
import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect

from pistats.mongo.server import MongodServer
from pistats.settings import MongoSettings
from tests.browser.conftest import ARGS
from tests.browser.demo_data import SITE, fill, just_now
from tests.browser.demo_system import still_well
from tests.browser.running_dashboard import ARTIFACTS, Dashboard, running_dashboard, sign_in

PAGES = {
    "live": "/",
    "history": "/history",
    "retention": "/retention",
    "funnel": "/funnel?step=page_view&step=signup&step=purchase",
    "visitor": "/visitor?id=visitor-20-3",
    "operations": "/operations",
    "site_settings": "/site-settings",
}
WIDTHS, SCHEMES = (1600, 420), ("light", "dark")
README = {"live": (1280, 1040), "history": (1440, 1120), "retention": (1440, 800)}
IMAGES = Path(__file__).parents[2] / "docs" / "images"
HEIGHT, MAX_HEIGHT = 900, 2_400
SETTLE_S = 2.5
"""Numbers count up, rows glide: a picture is taken when they rest."""
BUSY_S = 30
"""The longest that a page may take to its numbers: other programs may use the processor, too."""


async def main(wanted: list[str]) -> None:
    """Takes the pictures of all pages, or of the `wanted` ones."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder:
        server = MongodServer(Path(folder) / "mongod", MongoSettings(cache_mb=256))
        uri = await asyncio.to_thread(server.start)
        try:
            async with running_dashboard(uri, Path(folder)) as dashboard, async_playwright() as playwright:
                await fill(dashboard, Path(folder))
                browser = await playwright.chromium.launch(executable_path=chromium, args=ARGS)
                if wanted == ["--readme"]:
                    return await _take_readme(browser, dashboard)
                for width in WIDTHS:
                    for scheme in SCHEMES:
                        await _take(browser, dashboard, width, scheme, wanted or list(PAGES))
        finally:
            await asyncio.to_thread(server.stop)


async def _take(browser: Browser, dashboard: Dashboard, width: int, scheme: str, wanted: list[str]) -> None:
    context = await browser.new_context(
        viewport={"width": width, "height": HEIGHT}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = await context.new_page()
    ARTIFACTS.mkdir(exist_ok=True)
    await page.goto(f"{dashboard.url}/login")
    await page.screenshot(path=ARTIFACTS / f"page_sign_in_{scheme}_{width}.png")
    await sign_in(page, dashboard)
    for name in wanted:
        path = PAGES[name]
        await dashboard.commit()
        await still_well(dashboard)
        await page.goto(f"{dashboard.url}{path}{'&' if '?' in path else '?'}site={SITE}")
        await _rest(page)
        height = await page.evaluate("document.querySelector('[data-testid=stMain]')?.scrollHeight ?? 0")
        await page.set_viewport_size({"width": width, "height": min(max(HEIGHT, int(height)), MAX_HEIGHT)})
        await asyncio.sleep(0.5)
        target = ARTIFACTS / f"page_{name}_{scheme}_{width}.png"
        await page.screenshot(path=target)
        await page.set_viewport_size({"width": width, "height": HEIGHT})
        print(target, flush=True)
    await context.close()


async def _rest(page: Page) -> None:
    """Until the page shows its numbers, no shape of numbers to come, and nothing moves any more."""
    await asyncio.sleep(SETTLE_S)
    await expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=BUSY_S * 1_000)
    await expect(page.locator(".bone:visible")).to_have_count(0, timeout=BUSY_S * 1_000)
    await asyncio.sleep(SETTLE_S)


async def _take_readme(browser: Browser, dashboard: Dashboard) -> None:
    page = await browser.new_page(color_scheme="light")
    await sign_in(page, dashboard)
    await dashboard.commit(*reversed(just_now()))
    for name, (width, height) in README.items():
        await still_well(dashboard)
        await page.set_viewport_size({"width": width, "height": height})
        await page.goto(f"{dashboard.url}{PAGES[name]}?site={SITE}")
        await _rest(page)
        picture = Image.open(BytesIO(await page.screenshot()))
        picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(IMAGES / f"{name}.png", optimize=True)
        print(IMAGES / f"{name}.png", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

"""Nothing flashes: no colours that are not ours, no numbers that go and come back, no controls that fade."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.browser.conftest import PATIENCE_MS
from tests.browser.running_dashboard import Dashboard
from tests.browser.visited_site import open_page

pytestmark = pytest.mark.browser

BACKGROUNDS = {"light": "rgb(247, 247, 249)", "dark": "rgb(16, 17, 22)"}

APP_JS = """
window.backgrounds = new Set()
const look = () => {
  const app = document.querySelector('.stApp')
  if (app) window.backgrounds.add(getComputedStyle(app).backgroundColor)
}
new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true })
const frame = () => (look(), requestAnimationFrame(frame))
frame()
"""
"""Every colour that the page has had behind it."""

FADED_JS = """
window.faded = {}
window.empty = new Set()
const opacity = (element) => {
  let all = 1
  for (let at = element; at; at = at.parentElement ?? at.getRootNode().host) all *= Number(getComputedStyle(at).opacity)
  return all
}
const note = (name, elements) => {
  for (const element of elements) window.faded[name] = Math.min(window.faded[name] ?? 1, opacity(element))
}
const frame = () => {
  note('controls', document.querySelectorAll('[class*="st-key-address-"]'))
  for (const place of document.querySelectorAll('.stElementContainer')) {
    const key = [...place.classList].find((name) => /^st-key-(history|retention)_/.test(name))
    const root = [...place.querySelectorAll('*')].find((element) => element.shadowRoot)?.shadowRoot
    if (!key || !root) continue
    note(key, root.querySelectorAll('.fades, [data-metric]'))
    if (!root.querySelector('[data-metric], .row .number, td')) window.empty.add(key)
  }
  requestAnimationFrame(frame)
}
frame()
"""
"""How faint numbers and controls were at their faintest, and which elements had no number at any time."""

HELD_MS = 2_500
"""Streamlit begins to fade after half a second, and is done a second later."""


@asynccontextmanager
async def held(told: Dashboard, collection: str) -> AsyncIterator[None]:
    """While it lasts, MongoDB keeps everyone waiting who reads this collection of the group."""
    admin = told.group.client.admin
    data = {"failCommands": ["find", "aggregate"], "blockConnection": True, "blockTimeMS": HELD_MS}
    where = {"namespace": f"{told.group.name}.{collection}"}
    await admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data={**data, **where})
    try:
        yield
    finally:
        await admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_page_never_has_a_colour_behind_it_that_is_not_ours(
    dashboard: Dashboard, browser: Browser, scheme: Any
) -> None:
    context = await browser.new_context(color_scheme=scheme)
    page = await context.new_page()
    await page.add_init_script(APP_JS)
    await page.goto(dashboard.url)
    await page.fill("#password", dashboard.password)
    await page.click("button[type=submit]")
    for path in ("/", "/operations"):
        await page.goto(dashboard.url + path)
        await page.wait_for_selector(".live" if path == "/" else ".grid td")
        assert await page.evaluate("[...window.backgrounds]") == [BACKGROUNDS[scheme]]
    await context.close()


async def test_what_draws_itself_again_does_not_fade_while_the_answer_takes_long(told: Dashboard, page: Page) -> None:
    await open_page(page, told, "/retention")
    grid = ".st-key-retention_grid"
    await page.wait_for_selector(".st-key-end_of_page [data-stale=false]", state="attached")
    await page.evaluate(FADED_JS)
    async with held(told, "retention"):
        await page.wait_for_selector(f"{grid}[data-stale=true]")
        await page.wait_for_selector(f"{grid}[data-stale=false]")
    faded = await page.evaluate("window.faded")
    assert faded == {"controls": 1, "st-key-retention_grid": 1}


async def test_while_a_page_is_asked_anew_its_numbers_stay_and_its_controls_do_not_fade(
    told: Dashboard, page: Page
) -> None:
    await open_page(page, told, "/history")
    await page.wait_for_selector(".st-key-history_devices .row")
    await page.wait_for_selector(".st-key-end_of_page [data-stale=false]", state="attached")
    await page.evaluate(FADED_JS)
    async with held(told, "chunks"):
        await page.locator(".table .row", has_text="Desktop").click()
        await page.wait_for_selector(".st-key-history_overview[data-stale=true]")
        await page.wait_for_selector(".st-key-end_of_page [data-stale=false]", state="attached")
    faded = await page.evaluate("window.faded")
    assert faded.pop("controls") == 1
    assert len(faded) > 5
    assert min(faded.values()) == pytest.approx(0.45, abs=0.01), faded
    with_numbers = {f"st-key-history_{card}" for card in ("overview", "sources", "pages", "places", "devices")}
    assert with_numbers & set(await page.evaluate("[...window.empty]")) == set()


async def test_while_someone_types_the_password_the_browser_fetches_what_the_first_page_needs(
    dashboard: Dashboard, page: Page
) -> None:
    await page.goto(dashboard.url)
    ahead = "document.querySelectorAll('link[rel=prefetch]').length"
    assert await page.evaluate(ahead) > 50
    done = (
        "performance.getEntriesByType('resource').filter((one) => one.responseEnd && one.responseStatus === 200).length"
    )
    # Not `wait_for_function`: it evaluates a string in the page, which the login page lets nothing do.
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while await page.evaluate(done) < await page.evaluate(ahead):
            await page.wait_for_timeout(100)
    await page.fill("#password", dashboard.password)
    await page.click("button[type=submit]")
    await page.wait_for_selector(".live")
    fetched = await page.evaluate(
        "performance.getEntriesByType('resource').filter((one) => one.transferSize && /static.(js|css)/.test(one.name))"
    )
    assert [one["name"] for one in fetched] == []

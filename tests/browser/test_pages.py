"""Every page in Chromium: deep links restore, what was chosen goes along, roles hold, share links end."""

from dataclasses import replace

import pytest
from playwright.async_api import Page, expect

from pistats.consumer.groups import Groups
from pistats.dashboard_access import reset_password
from pistats.settings import MongoSettings, Settings
from pistats.share_links import ShareLinks
from tests.browser.broken_line import Line
from tests.browser.running_dashboard import Dashboard, event, sign_in

pytestmark = pytest.mark.browser

CURRENT = '[data-number="current_visitors_5m"]'


async def test_the_site_goes_along_from_page_to_page(dashboard: Dashboard, page: Page) -> None:
    await sign_in(page, dashboard, "/?site=shop.example")
    await page.get_by_role("link", name="History").click()
    await page.wait_for_url("**/history?site=shop.example")
    await page.get_by_role("combobox", name="Site").click()
    await page.get_by_role("option", name="news.example").click()
    await page.wait_for_url("**/history?site=news.example")
    await page.get_by_role("link", name="Operations").click()
    await page.wait_for_url("**/operations?site=news.example")
    await page.reload()
    await expect(page.get_by_role("combobox", name="Site")).to_have_value("news.example")
    await page.goto(f"{dashboard.url}/live?site=shop.example")
    await expect(page.locator(CURRENT)).to_be_visible()
    assert page.url == f"{dashboard.url}/?site=shop.example"
    await expect(page.get_by_text("Page not found")).to_have_count(0)


async def test_pages_are_chosen_with_the_keyboard_and_the_focus_is_seen(dashboard: Dashboard, page: Page) -> None:
    await sign_in(page, dashboard)
    link = page.get_by_role("link", name="Operations")
    while not await link.evaluate("link => link === document.activeElement"):
        await page.keyboard.press("Tab")
    assert await link.evaluate("link => getComputedStyle(link).outline") == "rgb(79, 82, 217) solid 2px"
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/operations?site=**")


async def test_a_viewer_sees_no_settings(dashboard: Dashboard, page: Page) -> None:
    password = await reset_password(dashboard.system, role="viewer")
    await page.wait_for_timeout(2_500)  # the keeper's look at the access
    await sign_in(page, dashboard, password=password)
    await expect(page.get_by_role("link", name="Operations")).to_be_visible()
    await expect(page.get_by_role("link", name="Site settings")).to_have_count(0)
    await page.goto(f"{dashboard.url}/site-settings")
    await expect(page.get_by_text("Page not found")).to_be_visible()


async def test_a_share_link_shows_one_site_until_it_is_revoked(dashboard: Dashboard, page: Page) -> None:
    token, link = await ShareLinks(dashboard.system).add("shop.example", "for the board")
    await dashboard.commit(event(site="shop.example"), event(site="news.example"), event(site="news.example"))
    await page.wait_for_timeout(2_500)
    await page.goto(f"{dashboard.url}/share/{token}")
    await page.wait_for_selector(".live[data-state=live]")
    await expect(page.locator(CURRENT)).to_have_text("1")
    for hidden in ("Funnel", "Visitor", "Operations", "Site settings"):
        await expect(page.get_by_role("link", name=hidden)).to_have_count(0)

    await page.goto(f"{dashboard.url}/?site=news.example")
    await page.wait_for_url("**/?site=shop.example")
    await expect(page.locator(CURRENT)).to_have_text("1")
    refused = await page.evaluate(
        """() => new Promise((done) => {
             const socket = new WebSocket(`ws://${location.host}/live/socket?site=news.example`)
             socket.onmessage = () => done(false)
             socket.onclose = () => done(true)
           })"""
    )
    assert refused, "a guest's socket showed another site"

    await ShareLinks(dashboard.system).revoke(link.share_id)
    await expect(page.locator("#password")).to_be_visible()
    await page.goto(f"{dashboard.url}/share/{token}")
    await expect(page.get_by_role("alert")).to_contain_text("does not work any more")


@pytest.mark.parametrize("path", ["/", "/history", "/operations"])
async def test_a_page_that_loses_its_server_says_so_and_comes_back(dashboard: Dashboard, page: Page, path: str) -> None:
    line = Line(dashboard.url)
    async with line.listening() as url:
        await sign_in(page, replace(dashboard, url=url))
        await page.goto(f"{url}{path}?site=shop.example")
        site, said = page.get_by_role("combobox", name="Site"), page.locator("#connection", has_text="reconnecting…")
        await expect(site).to_be_enabled()
        await expect(said).to_have_count(0)

        line.cut()
        await expect(said).to_be_visible()
        await expect(page.get_by_text("Streamlit")).not_to_be_visible()  # its own window, which covers everything
        await expect(site).to_be_disabled()

        line.mend()
        await expect(site).to_be_enabled()
        await expect(said).to_have_count(0)
        await expect(site).to_have_value("shop.example")
        await site.click()
        await page.get_by_role("option", name="news.example").click()
        await page.wait_for_url("**site=news.example")


async def test_the_live_page_follows_a_promotion(dashboard: Dashboard, page: Page) -> None:
    await dashboard.commit(event(visitor_id="a"))
    await sign_in(page, dashboard)
    await expect(page.locator(CURRENT)).to_have_text("1")
    settings = Settings(mongodb=MongoSettings(database_prefix=dashboard.system.name))
    groups = Groups(dashboard.system, settings)
    await groups.create("mended", "trim-horizon")
    async with dashboard.of_group("mended") as mended:
        await mended.commit(*(event(visitor_id=f"visitor {n}") for n in range(7)))
        await groups.promote("mended")
        await expect(page.locator(CURRENT)).to_have_text("7", timeout=10_000)
        await mended.commit(event(visitor_id="one more"))
        await expect(page.locator(CURRENT)).to_have_text("8", timeout=2_000)

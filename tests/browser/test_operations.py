"""Operations in Chromium: what is stored is shown, admins act, viewers look."""

import pytest
from playwright.async_api import Page, expect

from pistats.consumer.groups import reader_group
from pistats.dashboard_access import reset_password
from pistats.settings import MongoSettings, Settings
from tests.browser.demo_data import operations
from tests.browser.running_dashboard import Dashboard, sign_in

pytestmark = pytest.mark.browser


async def test_an_admin_sees_the_system_and_acts(dashboard: Dashboard, page: Page) -> None:
    await operations(dashboard)
    hostile = "<img src=x onerror='window.hacked=1'> [x](javascript:1)"
    await dashboard.group.dead_letters.update_one({}, {"$set": {"detail": hostile}})
    await sign_in(page, dashboard)
    await page.goto(f"{dashboard.url}/operations")
    tables = page.locator(".grid")
    await expect(tables.nth(0)).to_contain_text("Partitions")
    await expect(tables.nth(0)).to_contain_text("1.2")  # MB on disk
    await expect(tables.nth(1)).to_contain_text("Sum")
    await expect(tables.nth(2)).to_contain_text(hostile)
    await expect(tables.nth(3)).to_contain_text("archive")
    assert await page.evaluate("window.hacked") is None
    assert await tables.locator("a, img").count() == 0

    await tables.nth(2).get_by_role("button", name="Replay").click()
    await tables.nth(2).get_by_role("button", name="Sure?").click()
    await expect(page.get_by_text("0:41 is tried again within a second")).to_be_visible()
    assert await dashboard.group.requests.count_documents({"kind": "redo_dead_letter", "offset": 41}) == 1

    await tables.nth(4).get_by_role("button", name="Show it").click()
    await tables.nth(4).get_by_role("button", name="Sure?").click()
    await expect(page.get_by_text("mended has not caught up yet")).to_be_visible()  # nothing was consumed for it
    settings = Settings(mongodb=MongoSettings(database_prefix=dashboard.system.name))
    assert await reader_group(dashboard.system, settings) == "live"


async def test_a_viewer_sees_the_system_and_cannot_act(dashboard: Dashboard, page: Page) -> None:
    await operations(dashboard)
    password = await reset_password(dashboard.system, role="viewer")
    await page.wait_for_timeout(2_500)
    await sign_in(page, dashboard, password=password)
    await page.goto(f"{dashboard.url}/operations")
    await expect(page.locator(".grid").nth(2)).to_contain_text("0:41")
    await expect(page.get_by_role("button", name="Replay")).to_have_count(0)
    await expect(page.get_by_role("button", name="Show it")).to_have_count(0)

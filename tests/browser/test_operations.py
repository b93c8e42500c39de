"""Operations in Chromium: what is stored is shown, admins act, viewers look."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from pistats.consumer.groups import reader_group
from pistats.dashboard_access import reset_password
from pistats.settings import MongoSettings, Settings
from tests.browser.demo_system import operations, still_well
from tests.browser.running_dashboard import Dashboard, nameless, sign_in

pytestmark = pytest.mark.browser


async def confirm(table: Locator, name: str, sure: str) -> None:
    """Clicks it, and again on what it asks then."""
    await table.get_by_role("button", name=name).click()
    await table.get_by_role("button", name=sure).click()


async def test_an_admin_sees_the_system_and_acts(dashboard: Dashboard, page: Page, tmp_path: Path) -> None:
    await operations(dashboard, tmp_path)
    letter = await dashboard.group.dead_letters.find_one()
    assert letter is not None
    letter_id = f"0:{letter['_id']['offset']}"
    hostile = "<img src=x onerror='window.hacked=1'> [x](javascript:1)"
    reversed_text = {"detail": hostile, "payload": b"\xff\xe2\x80\xae" + hostile.encode()}
    await dashboard.group.dead_letters.update_one({}, {"$set": reversed_text})
    many = [
        {**letter, "_id": {"partition": 1, "offset": 900 + number}, "stage": "decode", "reason": "not_json"}
        for number in range(3)
    ]
    await dashboard.group.dead_letters.insert_many([{**one, "created_at": datetime.now(UTC)} for one in many])
    await sign_in(page, dashboard)
    await page.goto(f"{dashboard.url}/operations")
    tables = page.locator(".grid")
    await expect(tables.nth(0)).to_contain_text("Partitions")
    await expect(tables.nth(0)).to_contain_text("1.2")  # MB on disk
    await expect(tables.nth(1)).to_contain_text("Sum")
    await expect(tables.nth(2)).to_contain_text(hostile)
    await expect(tables.nth(3)).to_contain_text("archive")
    assert await nameless(page) == []

    await tables.nth(2).get_by_role("button", name=letter_id, exact=True).click()
    await expect(tables.nth(2).locator("pre")).to_have_text(rf"\xff\u202e{hostile}")
    await page.wait_for_url(f"**letter={letter_id.replace(':', '%3A')}")
    assert await page.evaluate("window.hacked") is None
    assert await tables.locator("a, img").count() == 0

    await confirm(tables.nth(2), f"Replay {letter_id}", "Yes, replay")
    await expect(page.get_by_text(f"{letter_id} is tried again within a second")).to_be_visible()
    redo = {"kind": "redo_dead_letter"}
    assert await dashboard.group.requests.count_documents({**redo, "offset": letter["_id"]["offset"]}) == 1

    await tables.nth(2).get_by_role("button", name="not json in decode").click()
    await expect(tables.nth(2)).not_to_contain_text(hostile)
    await confirm(tables.nth(2), "Replay all 3", "Yes, replay these 3")
    await expect(page.get_by_text("3 are tried again within seconds")).to_be_visible()
    await expect(tables.nth(2)).to_contain_text("4 wait to be tried again")
    assert await dashboard.group.requests.distinct("_id", {**redo, "partition": 1}) == [
        f"redo:1:{900 + number}" for number in range(3)
    ]

    await confirm(tables.nth(4), "Show it", "Yes, show it")
    await expect(page.get_by_text("mended has not caught up yet")).to_be_visible()  # a third is to be counted
    settings = Settings(mongodb=MongoSettings(database_prefix=dashboard.system.name))
    assert await reader_group(dashboard.system, settings) == "live"


async def test_a_viewer_sees_that_all_is_well_and_cannot_act(dashboard: Dashboard, page: Page, tmp_path: Path) -> None:
    await operations(dashboard, tmp_path)
    password = await reset_password(dashboard.system, role="viewer")
    await page.wait_for_timeout(2_500)
    await sign_in(page, dashboard, password=password)
    await still_well(dashboard)
    await page.set_viewport_size({"width": 420, "height": 900})
    await page.goto(f"{dashboard.url}/operations")
    await expect(page.locator(".figures")).to_contain_text("All well")
    await expect(page.locator(".grid").nth(2)).to_contain_text("Invalid IPv6 URL")
    await expect(page.get_by_role("button", name="Replay")).to_have_count(0)
    await expect(page.get_by_role("button", name="Show it")).to_have_count(0)
    wide = "element => element.scrollWidth > element.clientWidth"
    assert not any([await box.evaluate(wide) for box in await page.locator(".grid .scroll").all()])

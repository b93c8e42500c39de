"""Whatever text an event brings is shown as text, on every page: it neither runs nor looks like ours."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import Page, expect

from pistats.clock import now_ms
from pistats.jobs.arguments import JobArguments
from pistats.jobs.runs import Runs
from pistats.share_links import MAX_LABEL_CHARS, ShareLinks
from tests.browser.running_dashboard import Dashboard, event, screenshot
from tests.browser.visited_site import HOSTILE, MINUTE_MS, SITE, card, evil_visitor, open_page

pytestmark = pytest.mark.browser


async def expect_inert(page: Page) -> None:
    assert await page.evaluate("window.hacked") is None
    assert await page.locator(".stMain :is(img[src=x], .katex, a[href^=javascript])").count() == 0
    marked = page.locator(".stMain :is(strong, em, code, a)").filter(has_text=re.compile("bold|click me|evil"))
    assert await marked.and_(page.locator(":not([href^='/visitor'])")).count() == 0
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_hostile_text_is_shown_as_text(told: Dashboard, page: Page) -> None:
    await open_page(page, told, "/history")
    await expect_inert(page)
    for title, tabs in (
        ("Pages", ["Entry", "Exit", "All"]),
        ("Sources", ["Source", "Campaign", "Channel"]),
        ("Places", ["Language", "Country"]),
        ("Devices", ["Browser", "System", "Device"]),
        ("Events", []),
    ):
        for tab in tabs:
            await card(page, title).get_by_role("tab", name=tab, exact=True).click()
            await expect(card(page, title).get_by_role("tab", name=tab, exact=True)).to_have_attribute(
                "aria-selected", "true"
            )
        await card(page, title).locator(".more").click()
        await expect(page.get_by_role("dialog")).to_contain_text(HOSTILE[2])
        await page.get_by_role("button", name="Close").click()
    await expect_inert(page)
    await screenshot(page, "history_hostile")
    chosen = {"filter": [f"properties.{HOSTILE[1].replace(':', '%3A')}:{HOSTILE[1]}", f"event:{HOSTILE[1]}"]}
    await open_page(page, told, "/history", **chosen)
    await expect(page.locator(".chip b")).to_have_text([HOSTILE[1]] * 2)
    await expect(card(page, "Properties").locator(".note")).to_have_text(f"of {HOSTILE[1]}")
    await expect_inert(page)

    await open_page(page, told, "/funnel", step=["page_view", *(text[:64] for text in HOSTILE[:4])])
    await page.get_by_role("combobox", name="Event of step 3").click()
    await expect(page.get_by_role("option", name=re.compile(r"\*\*bold\*\*"))).to_be_visible()
    await expect_inert(page)
    await screenshot(page, "funnel_hostile")

    today = datetime.now(UTC).date().isoformat()
    names = {"event": HOSTILE[2], "return_event": HOSTILE[2]}
    await open_page(page, told, "/retention", by="day", last="7", mode="recurring", cell=f"{today}.0", **names)
    await expect(page.locator(".people a .text")).to_have_text([f"evil-2 {HOSTILE[2]}"])
    await expect_inert(page)
    await screenshot(page, "retention_hostile")
    await page.locator(".people a").click()
    await page.wait_for_selector(".timeline:not([data-loading]) .event")
    await expect(page.locator(".chip")).to_have_text([HOSTILE[2]])
    await expect(page.locator(".facts")).to_contain_text(HOSTILE[2])
    await expect_inert(page)
    await screenshot(page, "visitor_hostile")


async def test_hostile_text_of_a_visitor_is_shown_as_text(told: Dashboard, page: Page) -> None:
    for number, text in enumerate(HOSTILE):
        await open_page(page, told, "/visitor", id=evil_visitor(number))
        await expect(page.locator(".event .chip")).to_have_text([text[:64].strip()])
        await expect(page.locator(".event summary, .event .property").first).to_be_visible()
        await expect_inert(page)
    now = [event(visitor_id=evil_visitor(number), path=text) for number, text in enumerate(HOSTILE)]
    await told.commit(*now)
    await open_page(page, told, "/visitor")
    await expect(page.locator(".people a")).to_have_count(len(HOSTILE))
    await expect_inert(page)


async def test_hostile_text_in_operations_is_shown_as_text(told: Dashboard, page: Page) -> None:
    letters = [dead_letter(number, text) for number, text in enumerate(HOSTILE)]
    await told.group.dead_letters.insert_many(letters)
    runs = Runs(told.system)
    await runs.start("archive-1", "archive", JobArguments())
    await runs.end("archive-1", error=" ".join(HOSTILE))
    for number, text in enumerate(HOSTILE):
        await open_page(page, told, "/operations", letter=f"0:{number}")
        opened = page.locator(".grid .more")
        await expect(opened.locator("dd", has_text=text[:20].strip())).not_to_have_count(0)
        await expect(page.get_by_role("textbox", name="The event, as JSON")).to_be_visible()
        await expect_inert(page)


async def test_hostile_text_in_site_settings_is_shown_as_text(told: Dashboard, page: Page) -> None:
    for text in HOSTILE:
        await ShareLinks(told.system).add(SITE, text[:MAX_LABEL_CHARS])
    await told.commit(*(event(name=text[:64], path=text, title=text) for text in HOSTILE))
    await open_page(page, told, "/site-settings")
    await expect(page.locator(".st-key-card_share").get_by_text("**bold** _em_")).to_be_visible()
    await expect_inert(page)


def dead_letter(number: int, text: str) -> dict[str, Any]:
    """A record of partition 0 that could not be enriched, and every word about it."""
    sent = {"name": text, "url": text, "title": text, "visitor_id": text, "properties": {text: text}}
    return {
        "_id": {"partition": 0, "offset": number},
        "append_minute": now_ms() // MINUTE_MS * MINUTE_MS,
        "stage": "page",
        "reason": "step_failed",
        "detail": f"ValueError: {text}",
        "payload": json.dumps(sent).encode(),
        "code_version": "0.1.0",
        "created_at": datetime.now(UTC),
    }

"""Site settings in Chromium: sites, keys shown once, rules, the first event, share links."""

import re

import pytest
from playwright.async_api import Page, expect

from pistats.share_links import ShareLinks
from pistats.sites import SiteStore, hash_key
from tests.browser.running_dashboard import Dashboard, event, nameless, screenshot, sign_in
from tests.browser.test_live_page import HOSTILE

pytestmark = pytest.mark.browser


async def open_settings(page: Page, dashboard: Dashboard, site: str = "news.example") -> None:
    await sign_in(page, dashboard)
    await page.goto(f"{dashboard.url}/site-settings?site={site}")
    await expect(page.get_by_role("heading", name="Snippet")).to_be_visible()


async def test_a_new_site_shows_its_keys_once_and_waits_for_its_first_event(dashboard: Dashboard, page: Page) -> None:
    await open_settings(page, dashboard)
    await page.get_by_role("button", name="Add a site").click()
    await page.get_by_label("Name").fill("blog.example")
    await page.get_by_role("button", name="Add it").click()
    await page.wait_for_url("**/site-settings?site=blog.example")
    await expect(page.get_by_text("Copy it now: only its hash is kept.")).to_be_visible()
    text = await page.locator(".st-key-card_keys").inner_text()
    write_key = re.search(r"pw_[\w-]+", text)
    assert write_key
    site = await SiteStore(dashboard.system).by_write_key_hash(hash_key(write_key[0]))
    assert site is not None
    assert site.name == "blog.example"
    await expect(page.locator(".st-key-card_snippet code").first).to_contain_text(write_key[0])
    await expect(page.get_by_text("Waiting for the first event")).to_be_visible()
    assert await nameless(page) == []
    await screenshot(page, "site_settings_new")

    await dashboard.commit(event(site="blog.example"))
    await expect(page.get_by_text("Received: the last event came")).to_be_visible()
    await page.get_by_role("button", name="I have copied it").click()
    await expect(page.get_by_text(write_key[0])).to_have_count(0)
    await page.reload()
    await expect(page.get_by_role("heading", name="Snippet")).to_be_visible()
    await expect(page.get_by_text(write_key[0])).to_have_count(0)


async def test_a_key_can_be_replaced(dashboard: Dashboard, page: Page) -> None:
    before = await SiteStore(dashboard.system).get("news.example")
    await open_settings(page, dashboard)
    await page.get_by_role("button", name="New read key").click()
    await page.get_by_role("button", name="Replace it").click()
    await expect(page.locator(".st-key-card_keys code")).to_contain_text("pr_")
    after = await SiteStore(dashboard.system).get("news.example")
    assert before is not None
    assert after is not None
    assert after.read_key_hash != before.read_key_hash
    assert after.write_key_hash == before.write_key_hash


async def test_rules_are_stored_and_refused_in_the_cores_words(dashboard: Dashboard, page: Page) -> None:
    await open_settings(page, dashboard)
    origins = page.get_by_role("textbox", name="Allowed origins, one a line")
    await origins.fill("https://news.example\nhttps://www.news.example")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Saved. It counts")).to_be_visible()
    site = await SiteStore(dashboard.system).get("news.example")
    assert site is not None
    assert site.allowed_origins == ("https://news.example", "https://www.news.example")
    await origins.fill("**bold** <img src=x onerror='window.hacked=1'>")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("'**bold**' is no origin")).to_be_visible()
    assert await page.evaluate("window.hacked") is None


async def test_share_links_are_made_shown_once_and_revoked(dashboard: Dashboard, page: Page) -> None:
    await open_settings(page, dashboard)
    card = page.locator(".st-key-card_share")
    await page.get_by_label("For whom").fill(HOSTILE[2])
    await page.get_by_role("button", name="Make a link").click()
    await expect(card.locator("code")).to_contain_text(f"{dashboard.url}/share/")
    await expect(card).to_contain_text(HOSTILE[2])
    assert await card.locator("a[href*=javascript]").count() == 0
    assert len(await ShareLinks(dashboard.system).list("news.example")) == 1
    await card.get_by_role("button", name="Revoke").click()
    await expect(page.get_by_text("The link cannot be brought back")).to_be_visible()
    assert len(await ShareLinks(dashboard.system).list("news.example")) == 1
    await page.get_by_role("button", name="Revoke it").click()
    await expect(card).not_to_contain_text(HOSTILE[2])
    assert await ShareLinks(dashboard.system).list() == []

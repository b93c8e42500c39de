"""A site with twelve days of visits, hostile ones among them, and the way to look at a page of it."""

from typing import Any
from urllib.parse import urlencode

from playwright.async_api import Locator, Page

from tests.browser.running_dashboard import Dashboard
from tests.warehouse_events import an_event

SITE = "news.example"
DAY_MS, MINUTE_MS = 86_400_000, 60_000

HOSTILE = (
    "<img src=x onerror='window.hacked = 2'>",
    "[click me](javascript:window.hacked=3)",
    "**bold** _em_ `code` # title",
    "$\\frac{1}{2}$ :red[red] :material/home:",
    '=HYPERLINK("http://evil.example")',
    "\u202eevil\u202c \u2066rtl\u2069 مرحبا",
    "<script>window.hacked = 1</script>",
    "{{7*7}} ${7*7} %s %n \ufeff",
    "w" * 300,
)


def evil_visitor(number: int) -> str:
    """The id of who sent the text with this number."""
    return f"evil-{number} {HOSTILE[number]}"[:128]


def visits(now: int) -> list[dict[str, Any]]:
    """Twelve days of visitors: one more every day, who all come back the next day; every third one signs up."""
    events: list[dict[str, Any]] = []

    def add(visitor: str, time: int, **fields: Any) -> None:
        number = len(events)
        told = {
            "path": "/",
            "title": "Front",
            "country": "IN",
            "device": "mobile",
            "browser": "Chrome",
            "os": "Android",
        }
        arrival = {"channel": "Organic Search", "source": "Google", "language": "en"}
        own = {"visitor_id": visitor, "event_time": time, "received_time": time}
        events.append(an_event(number, **{**told, **arrival, **own, **fields}))

    for day in range(12, -1, -1):
        for number in range(13 - day):
            visitor, start = f"v-{day}-{number}", now - day * DAY_MS - (number + 2) * MINUTE_MS
            place = {"country": "DE", "device": "desktop"} if number % 2 else {}
            add(visitor, start, **place)
            add(visitor, start + 20_000, path="/pricing", **place)
            if number % 3 == 0:
                add(visitor, start + 50_000, name="signup", path="/join", properties={"plan": "pro", "n": number})
            if day:
                add(visitor, start + DAY_MS, path="/world", channel="Direct", source=None)
    for number, text in enumerate(HOSTILE):
        about = dict.fromkeys(("path", "title", "source", "campaign", "country", "browser", "os", "language"), text)
        visitor = evil_visitor(number)
        add(visitor, now - 5 * MINUTE_MS, **about, channel=text, device=text, user_id=text)
        add(visitor, now - 4 * MINUTE_MS, name=text[:64], path=text, properties={text: text, "list": [text]})
    return sorted(events, key=lambda event: event["event_time"])


SHOWN = {
    "/history": ".overview:not([data-loading])",
    "/retention": ".cohorts:not([data-loading])",
    "/funnel": ".steps:not([data-loading])",
    "/visitor": ":is(.timeline, .people):not([data-loading])",
    "/": ".live[data-state=live]",
    "/operations": ".grid td",
    "/site-settings": ".st-key-card_snippet code",
}
"""What is there once a page has its numbers."""


async def open_page(page: Page, dashboard: Dashboard, path: str, **parameters: Any) -> None:
    """Opens a page through the login, as a link that someone was sent; returns when it has its numbers."""
    await page.goto(dashboard.url + path + "?" + urlencode({"site": SITE, **parameters}, doseq=True))
    if await page.locator("#password").count():
        await page.fill("#password", dashboard.password)
        await page.click("button[type=submit]")
    await page.wait_for_selector(SHOWN[path], timeout=90_000)  # patience with busy cores


def card(page: Page, title: str) -> Locator:
    return page.locator(".table").filter(has=page.get_by_role("heading", name=title, exact=True)).first

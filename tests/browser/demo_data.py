"""What twelve weeks of a small news site leave behind: enough for every page to show something."""

import random
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pistats.clock import now_ms
from pistats.share_links import ShareLinks
from pistats.visitors.calendar import LocalDays
from pistats.visitors.retention import RetentionCells
from pistats.visitors.visitors import Visitors
from tests.browser.demo_system import quiet_system, with_offsets
from tests.browser.running_dashboard import Dashboard, event
from tests.warehouse_events import an_event

SITE = "news.example"
DAYS, DAY_MS, MINUTE_MS = 83, 86_400_000, 60_000
RECENT_MINUTES = 150
"""As far back as trending looks for what is usual."""
BUSY_MINUTES = 40
"""Since when more people come than on a usual day."""
FIRST_RECENT = 1_000_000
"""Number of the first recent event: every event has one of its own."""

PAGES = (
    ("/", "Front page"),
    ("/world/floods-in-the-north", "Floods in the north"),
    ("/sport/final", "The final, minute by minute"),
    ("/science/comet", "A comet for the naked eye"),
    ("/weather", "Weather"),
    ("/culture/festival", "The festival opens"),
    ("/business/harbour", "The harbour gets new cranes"),
    ("/pricing", "Subscriptions"),
)
NEWS = ("/world/eclipse-live", "The eclipse, live")
TOPICS = {NEWS[0]: "eclipse", "/sport/final": "cup final", "/science/comet": "comet", "/weather": "weather"}
SOURCES = (
    ("Google", "Organic Search"),
    ("Google", "Organic Search"),
    (None, "Direct"),
    ("Facebook", "Organic Social"),
    ("newsletter", "Email"),
    ("Bing", "Organic Search"),
    ("ChatGPT", "AI Assistants"),
)
COUNTRIES = ("IN", "IN", "US", "DE", "GB", "FR", "BR", "NG", "JP")
AGENTS = (("mobile", "Chrome", "Android"), ("mobile", "Safari", "iOS"), ("desktop", "Firefox", "Linux"))


def past(now: int) -> list[dict[str, Any]]:
    """Visits of twelve weeks, the same every time: visitors come back less and less, some sign up, few buy."""
    chance, events = random.Random(7), list[dict[str, Any]]()

    def visit(visitor: str, start: int, about: dict[str, Any]) -> None:
        time, pages = start, chance.choice((1, 1, 2, 3, 5))
        for _ in range(pages):
            path, title = PAGES[int(len(PAGES) * chance.random() ** 2)]
            events.append(_past(len(events), visitor, time, path=path, title=title, **about))
            time += chance.randint(8_000, 90_000)
        if pages > 1:
            read = {"name": "engagement", "properties": {"engaged_ms": (time - start) * 2 // 3}}
            events.append(_past(len(events), visitor, time, path=path, title=title, **read, **about))
        if chance.random() < 0.18:
            own = {"path": "/pricing", "properties": {"plan": chance.choice(("monthly", "yearly"))}}
            events.append(_past(len(events), visitor, time, name="signup", **own, **about))
            if chance.random() < 0.4:
                events.append(_past(len(events), visitor, time + 60_000, name="purchase", **own, **about))

    for day in range(DAYS, -1, -1):
        for number in range(chance.randint(55, 85)):
            source, channel = chance.choice(SOURCES)
            device, browser, system = chance.choice(AGENTS)
            about = {"source": source, "channel": channel, "country": chance.choice(COUNTRIES), "language": "en"}
            about |= {"device": device, "browser": browser, "os": system}
            start = now - day * DAY_MS - chance.randint(5, 900) * MINUTE_MS
            for later in range(day + 1):
                if later == 0 or chance.random() < 0.35 / (1 + later / 3):
                    visit(f"visitor-{day}-{number}", start + later * DAY_MS, about)
    return sorted(events, key=lambda one: one["event_time"])


def _past(number: int, visitor: str, time: int, **fields: Any) -> dict[str, Any]:
    return an_event(number, **{"visitor_id": visitor, "event_time": time, "received_time": time, **fields})


def recent(now: int) -> list[dict[str, Any]]:
    """Visits of the last hours, up to this minute, and a story that everybody reads since ten minutes ago."""
    chance, events = random.Random(3), list[dict[str, Any]]()
    for ago in range(RECENT_MINUTES, -1, -1):
        for _ in range(1 if ago > BUSY_MINUTES else chance.randint(2, 5) + (3 if ago < 10 else 0)):
            time = now - ago * MINUTE_MS - chance.randint(0, MINUTE_MS)
            source, channel = chance.choice(SOURCES)
            device, browser, system = chance.choice(AGENTS)
            about = {"country": chance.choice(COUNTRIES), "device": device, "browser": browser, "os": system}
            about |= {"language": "en", "is_bot": chance.random() < 0.03}
            visitor, arrival = f"{chance.getrandbits(64):016x}", {"source": source, "channel": channel}
            for _ in range(chance.choice((1, 1, 2, 3, 4))):
                path, title = _read(chance, ago)
                page = {"path": path, "title": title, "properties": {"topic": TOPICS.get(path, "politics")}}
                events.append(_past(FIRST_RECENT + len(events), visitor, time, **page, **about, **arrival))
                if chance.random() < 0.09:
                    own = {"name": chance.choice(("signup", "share", "share", "comment")), "path": path}
                    events.append(_past(FIRST_RECENT + len(events), visitor, time + 4_000, **own, **about))
                time, arrival = time + chance.randint(9_000, 80_000), {}
    return [one for one in events if one["event_time"] <= now]


def just_now() -> list[dict[str, Any]]:
    """A few more views of the last seconds, for the live numbers alone."""
    pages = (NEWS, PAGES[0], NEWS, PAGES[2], PAGES[4], NEWS)
    seen = zip(pages, SOURCES, COUNTRIES[1:], (*AGENTS, *AGENTS), strict=False)
    return [
        event(
            **{"path": path, "title": title, "source": source, "channel": channel, "country": country},
            **{"device": device, "browser": browser, "os": system, "event_time": now_ms() - 4_000 * number},
        )
        for number, ((path, title), (source, channel), country, (device, browser, system)) in enumerate(seen)
    ]


def _read(chance: random.Random, ago: int) -> tuple[str, str]:
    if ago < 10 and chance.random() < 0.4:
        return chance.choice((NEWS, NEWS, PAGES[2]))
    return PAGES[int(len(PAGES) * chance.random() ** 2)]


async def fill(dashboard: Dashboard, data: Path) -> None:
    """Writes it into the dashboard's databases, and into the warehouse in its directory."""
    now = now_ms()
    lately = recent(now)
    before = [one for one in past(now) if one["event_time"] < now - RECENT_MINUTES * MINUTE_MS]
    told = with_offsets(sorted([*before, *lately], key=lambda one: one["event_time"]), now - 9 * MINUTE_MS)
    people = [one for one in told if not one["is_bot"]]
    visitors, cells = Visitors(0, lambda _: LocalDays(ZoneInfo("UTC")), keep=50_000), RetentionCells(0)
    visitors.fold(people)
    cells.fold(visitors.changes())
    await dashboard.group.visitors.insert_many(visitors.documents())
    await dashboard.group.retention.insert_many(cells.documents())
    await ShareLinks(dashboard.system).add(SITE, "The board")
    await quiet_system(dashboard, told, data)
    dashboard.offset -= len(lately)  # they are in the ledger, and have yet to be in the live numbers
    await dashboard.commit(*sorted(lately, key=lambda one: one["event_time"]))

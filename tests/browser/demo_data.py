"""What four weeks of a small news site leave behind: enough for every page to show something."""

import random
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pistats.clock import now_ms
from pistats.consumer.groups import Groups
from pistats.jobs.arguments import JobArguments
from pistats.jobs.runs import Runs
from pistats.settings import MongoSettings, Settings
from pistats.share_links import ShareLinks
from pistats.status_board import StatusBoard
from pistats.visitors.calendar import LocalDays
from pistats.visitors.retention import RetentionCells
from pistats.visitors.visitors import Visitors
from tests.browser.running_dashboard import Dashboard, event
from tests.contract.test_status_board import status
from tests.warehouse_events import an_event, chunk_document

SITE = "news.example"
DAYS, DAY_MS, MINUTE_MS = 28, 86_400_000, 60_000

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
    """Visits of four weeks, the same every time: visitors come back less and less, some sign up, few buy."""
    chance, events = random.Random(7), list[dict[str, Any]]()

    def visit(visitor: str, start: int, about: dict[str, Any]) -> None:
        time = start
        for _ in range(chance.choice((1, 1, 2, 3, 5))):
            path, title = PAGES[int(len(PAGES) * chance.random() ** 2)]
            events.append(_past(len(events), visitor, time, path=path, title=title, **about))
            time += chance.randint(8_000, 90_000)
        if chance.random() < 0.18:
            own = {"path": "/pricing", "properties": {"plan": chance.choice(("monthly", "yearly"))}}
            events.append(_past(len(events), visitor, time, name="signup", **own, **about))
            if chance.random() < 0.4:
                events.append(_past(len(events), visitor, time + 60_000, name="purchase", **own, **about))

    for day in range(DAYS, -1, -1):
        for number in range(chance.randint(14, 24)):
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


async def fill(dashboard: Dashboard) -> None:
    """Writes it into the dashboard's databases."""
    now, chance = now_ms(), random.Random(3)
    told = [{**one, "offset": offset} for offset, one in enumerate(past(now))]
    await dashboard.group.chunks.insert_one(chunk_document(told))
    visitors, cells = Visitors(0, lambda _: LocalDays(ZoneInfo("UTC")), keep=10_000), RetentionCells(0)
    visitors.fold(told)
    cells.fold(visitors.changes())
    await dashboard.group.visitors.insert_many(visitors.documents())
    await dashboard.group.retention.insert_many(cells.documents())
    for minute in range(29, -1, -1):
        for _ in range(chance.randint(3, 14)):
            path, title = PAGES[int(len(PAGES) * chance.random() ** 2)]
            source, channel = chance.choice(SOURCES)
            device, browser, system = chance.choice(AGENTS)
            about = {"source": source, "channel": channel, "device": device, "browser": browser, "os": system}
            own = {"path": path, "title": title, "country": chance.choice(COUNTRIES)}
            time = {"event_time": now - minute * MINUTE_MS - chance.randint(0, 20_000)}
            who = {"visitor_id": f"v{chance.randint(0, 90)}"}
            name = "signup" if chance.random() < 0.06 else "page_view"
            await dashboard.commit(event(name=name, **about, **own, **time, **who))
    await ShareLinks(dashboard.system).add(SITE, "The board")
    await operations(dashboard)


async def operations(dashboard: Dashboard) -> None:
    """A quarter of an hour of a quiet system: ledger, a dead letter, jobs, a shadow group, the logs' own words."""
    settings = Settings(mongodb=MongoSettings(database_prefix=dashboard.system.name))
    now = now_ms()
    await Groups(dashboard.system, settings).settle()
    await Groups(dashboard.system, settings).create("mended", "trim-horizon")
    first, minute = 0, now // MINUTE_MS * MINUTE_MS
    for ago in range(14, -1, -1):
        end = first + 300 + 7 * ago
        counts = {"enriched": end - first - 4, "bots": 3, "dead_lettered": 1, "erased": 0, "duplicates": 2}
        offsets = {"first_offset": first, "end_offset": end, "consumed": end - first}
        key = {"partition": 0, "minute": minute - ago * MINUTE_MS}
        await dashboard.group.ledger.insert_one({"_id": key, **counts, **offsets})
        await dashboard.group.archived.insert_one({"_id": key, "events": end - first - 1})
        first = end
    await dashboard.group.dead_letters.insert_one(
        {
            "_id": {"partition": 0, "offset": 41},
            "append_minute": minute,
            "stage": "decode",
            "reason": "step_failed",
            "detail": "url: not a string",
            "payload": b'{"name": "page_view", "url": 7}',
            "code_version": "0.1.0",
            "created_at": datetime.fromtimestamp(now / 1000, UTC),
        }
    )
    runs = Runs(dashboard.system)
    for job in ("archive", "rollup", "retention"):
        await runs.start(f"{job}-1", job, JobArguments())
        await runs.end(f"{job}-1", result={"live": {"events": 4_312, "files": 3}})
    await StatusBoard(dashboard.system).post([status(0, end_offset=first)])

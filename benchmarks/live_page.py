"""What the live page costs who looks at it: processor of Chromium at 600 events/s, out of sight, when nothing happens.

    .venv/bin/python -m benchmarks.live_page [--seconds 20] [--save]

A real mongod, a real dashboard and a real page; this process writes what the consumers of two partitions would commit.
The processor draws, as on a machine without a graphics card. Shares of a core depend little on what else the machine
does while the page gets to draw at all.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import orjson
import psutil
from playwright.async_api import CDPSession, Page, WebSocket

from benchmarks.chromium import chromium
from benchmarks.figures import Figures, Result
from benchmarks.pages import dashboard_process
from benchmarks.part import arguments, run
from benchmarks.processes import cpu_s
from pistats.clock import now_ms
from pistats.dashboard_access import reset_password
from pistats.enrich import STEPS, EnrichContext, EnrichedEvent, Failure
from pistats.enrich.event import open_event
from pistats.live.feed import LiveFeed
from pistats.live.fold import LiveBuckets
from pistats.local.ports import free_ports
from pistats.mongo.client import connect
from pistats.mongo.indexes import Database, ensure_group_indexes, ensure_system_indexes
from pistats.mongo.server import MongodServer
from pistats.settings import MongoSettings
from pistats.simulate.traffic import Traffic
from pistats.sites import SiteStore

SITE = "news.example"
RATE = 600
TEMPLATES = 5_000
EVENTS_OF_A_VISITOR = 6
PARTITIONS = 2
FLUSH_S = 0.6
"""From commit to commit of one partition: the flush interval and what a flush takes."""
IDLE_S = 2.0
"""From one mark of a consumer without records to the next."""
SETTLE_S = 3.0
KINDS = {"renderer": "page", "gpu-process": "putting it on the screen"}
WORK = {
    "TaskDuration": "the page's thread",
    "ScriptDuration": "of it script",
    "RecalcStyleDuration": "of it style",
    "LayoutDuration": "of it layout",
}
UNSEEN_JS = """(unseen) => {
  Object.defineProperty(document, 'hidden', { value: unseen, configurable: true })
  document.dispatchEvent(new Event('visibilitychange'))
}"""
"""Chromium without a window shows every tab: the page is told that nobody sees it, as a browser would tell it."""


def made_events() -> Iterator[EnrichedEvent]:
    """Events of a news site as a consumer folds them, without an end, each of now."""
    context = EnrichContext.standard()
    traffic = Traffic(Random(1), rate=RATE, visitors=20_000, site_url=f"https://{SITE}")
    templates = list[EnrichedEvent]()
    for number in range(TEMPLATES):
        head = {"site": SITE, "received_time": now_ms(), "event_id": f"{number:032x}", "time": now_ms()}
        event = open_event(orjson.dumps({**head, **traffic.next_event()}), 0, number)
        assert not isinstance(event, Failure), event
        for _, step in STEPS:
            step(event, context)
        templates.append(event)
    number = 0
    while True:
        for template in templates:
            number += 1
            now, visitor = now_ms(), f"visitor-{number // EVENTS_OF_A_VISITOR}"
            own = {"event_id": f"{number:032x}", "visitor_id": visitor, "event_time": now, "received_time": now}
            yield {**template, **own}


class Partition:
    """Folds and writes what the consumer of one partition would."""

    def __init__(self, number: int, group: Database) -> None:
        self._number = number
        self._group = group
        self._offset = 0
        self._buckets, self._feed = LiveBuckets(number), LiveFeed(number)

    async def run(self, events: Iterator[EnrichedEvent], rate: float) -> None:
        """Until cancelled."""
        pause_s = FLUSH_S if rate else IDLE_S
        await asyncio.sleep(pause_s * self._number / PARTITIONS)
        done_s = time.monotonic()
        while True:
            began_s = time.monotonic()
            count = int((began_s - done_s) * rate)
            done_s = began_s
            await self._commit([next(events) for _ in range(count)])
            await asyncio.sleep(max(0.0, pause_s - (time.monotonic() - began_s)))

    async def _commit(self, events: list[EnrichedEvent]) -> None:
        self._offset += len(events)
        self._buckets.fold(events)
        self._feed.fold(events)
        documents = {"minutes": self._buckets.documents(), "feed": self._feed.documents()}
        mark = {"offset": self._offset, "append_time": now_ms(), "caught_up": True}
        async with self._group.client.start_session() as session, await session.start_transaction():
            change = [{"$set": {**mark, "committed_at": "$$NOW", "checked_at": "$$NOW"}}]
            await self._group.partitions.update_one({"_id": self._number}, change, upsert=True, session=session)
            for name, changed in documents.items():
                for document in changed:
                    only = {"_id": document["_id"]}
                    await self._group[name].replace_one(only, document, upsert=True, session=session)
        self._buckets.committed()
        self._feed.committed()


@asynccontextmanager
async def flowing(partitions: list[Partition], events: Iterator[EnrichedEvent], rate: float) -> AsyncIterator[None]:
    """Events come, or only the consumers' marks when the rate is zero."""
    tasks = [asyncio.create_task(one.run(events, rate / len(partitions))) for one in partitions]
    await asyncio.sleep(SETTLE_S)
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Watch:
    """Chromium's work, and what comes to it, between two moments."""

    def __init__(self, page: Page, client: CDPSession, figures: Figures) -> None:
        self._client = client
        self._figures = figures
        self._frames = list[int]()
        page.on("websocket", self._follow)

    async def measure(self, name: str, seconds: float) -> None:
        """The figures of the next `seconds`."""
        before, began_s = await self._state(), time.monotonic()
        self._frames.clear()
        await asyncio.sleep(seconds)
        frames, bytes_, took_s = len(self._frames), sum(self._frames), time.monotonic() - began_s
        for what, value in (await self._state()).items():
            self._figures.add(f"{name}: {what}", 100 * (value - before[what]) / took_s, "% of a core")
        self._figures.add(f"{name}: frames of the socket", frames / took_s, "/s")
        self._figures.add(f"{name}: bytes of a frame", bytes_ / max(1, frames), "bytes")

    def _follow(self, socket: WebSocket) -> None:
        if "/live/socket" in socket.url:
            socket.on("framereceived", lambda data: self._frames.append(len(data)))

    async def _state(self) -> dict[str, float]:
        """Seconds of a core so far, by who has used them."""
        state = dict.fromkeys(KINDS.values(), 0.0)
        for process in psutil.Process().children(recursive=True):
            for kind, says in KINDS.items():
                if f"--type={kind}" in process.cmdline():
                    state[says] += cpu_s(process)
        metrics = await self._client.send("Performance.getMetrics")
        return state | {WORK[one["name"]]: one["value"] for one in metrics["metrics"] if one["name"] in WORK}


async def look(url: str, password: str, group: Database, seconds: float, figures: Figures) -> None:
    """All figures of one browser."""
    events = made_events()
    partitions = [Partition(number, group) for number in range(PARTITIONS)]
    async with chromium() as browser:
        context = await browser.new_context(viewport={"width": 1600, "height": 1000})
        page = await context.new_page()
        client = await context.new_cdp_session(page)
        await client.send("Performance.enable")
        watch = Watch(page, client, figures)
        await page.goto(f"{url}/login")
        await page.fill("#password", password)
        await page.click("button[type=submit]")
        await page.wait_for_selector(".live")
        async with flowing(partitions, events, RATE):
            await watch.measure(f"{RATE} events/s", seconds)
            await page.evaluate(UNSEEN_JS, True)
            await watch.measure(f"{RATE} events/s, out of sight", seconds)
            await page.evaluate(UNSEEN_JS, False)
        async with flowing(partitions, events, 0):
            await watch.measure("nothing happens", seconds)


async def measure(directory: Path, seconds: float) -> Result:
    """All figures."""
    figures = Figures("live_page")
    server = MongodServer(directory / "mongod", MongoSettings(cache_mb=256))
    await asyncio.to_thread(server.start)
    client = connect(server.uri)
    try:
        system, group = client["bench"], client["bench_live"]
        await ensure_system_indexes(system)
        await ensure_group_indexes(group, 86_400)
        await SiteStore(system).add(SITE)
        password, port = await reset_password(system), free_ports(1)[0]
        async with dashboard_process(server.uri, port, directory):
            await look(f"http://127.0.0.1:{port}", password, group, seconds, figures)
    finally:
        await client.close()
        await asyncio.to_thread(server.stop)
    return figures.result()


def main() -> None:
    """The command line."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each part")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        run(lambda: asyncio.run(measure(Path(directory), chosen.seconds)), keep=chosen.save)


if __name__ == "__main__":
    main()

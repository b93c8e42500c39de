"""A real dashboard process on a real mongod, and what a test does with it."""

import asyncio
import multiprocessing
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Page
from pymongo.asynchronous.database import AsyncDatabase

from pistats.clock import now_ms
from pistats.dashboard_access import ensure_password
from pistats.live import LiveBuckets, LiveFeed
from pistats.local.ports import free_ports
from pistats.mongo.client import connect
from pistats.sites import SiteStore
from tests.browser import dashboard_process

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
SITES = ("news.example", "shop.example")
START_S, STOP_S = 60, 10

FORKS = multiprocessing.get_context("forkserver")
"""A dashboard imports for two seconds: one process does that once, and forks every dashboard of a run."""
FORKS.set_forkserver_preload([dashboard_process.__name__])


@dataclass
class Dashboard:
    """A running dashboard and the databases it reads. `commit` writes what a consumer's flush would write."""

    url: str
    password: str
    system: AsyncDatabase[dict[str, Any]]
    group: AsyncDatabase[dict[str, Any]]
    buckets: LiveBuckets = field(default_factory=lambda: LiveBuckets(0))
    feed: LiveFeed = field(default_factory=lambda: LiveFeed(0))
    offset: int = 0

    @asynccontextmanager
    async def of_group(self, name: str) -> AsyncIterator["Dashboard"]:
        """The same dashboard; what it commits goes to another group, which is dropped afterwards."""
        group = self.group.client[f"{self.system.name}_{name}"]
        yield Dashboard(self.url, self.password, self.system, group)
        await self.group.client.drop_database(group.name)

    async def commit(self, *events: dict[str, Any]) -> None:
        """Folds the events and writes whole documents and the checkpoint in one transaction, as partition 0."""
        self.offset += len(events)
        self.buckets.fold(events)
        self.feed.fold(events)
        documents = {"minutes": self.buckets.documents(), "feed": self.feed.documents()}
        checkpoint = {"offset": self.offset, "append_time": now_ms(), "caught_up": True}
        times = {"committed_at": "$$NOW", "checked_at": "$$NOW"}
        async with self.group.client.start_session() as session, await session.start_transaction():
            change = [{"$set": {**checkpoint, **times}}]
            await self.group.partitions.update_one({"_id": 0}, change, upsert=True, session=session)
            for name, changed in documents.items():
                for document in changed:
                    await self.group[name].replace_one({"_id": document["_id"]}, document, True, session=session)
        self.buckets.committed()
        self.feed.committed()


def event(**fields: Any) -> dict[str, Any]:
    """An enriched page view of now; `fields` say what is special about it."""
    number = uuid.uuid4().hex
    return {
        "event_id": number,
        "site": "news.example",
        "visitor_id": f"visitor-{number}",
        "name": "page_view",
        "event_time": now_ms(),
        "received_time": now_ms(),
        "partition": 0,
        "offset": 0,
        "is_bot": False,
        "host": "news.example",
        "section": None,
        "channel": "Organic Search",
        "city": None,
        "os": "Android",
        "properties": None,
        "path": "/",
        "title": "Front page",
        "source": "Google",
        "country": "IN",
        "device": "mobile",
        "browser": "Chrome",
        **fields,
    }


@asynccontextmanager
async def running_dashboard(
    mongo_uri: str, data: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Dashboard]:
    """A dashboard with databases of its own, two sites and no event yet. Has to stop within seconds of SIGTERM.

    `settings` are more environment variables of the process.
    """
    prefix = f"t{uuid.uuid4().hex[:10]}"
    client = connect(mongo_uri)
    system = client[prefix]
    for site in SITES:
        await SiteStore(system).add(site)
    password = await ensure_password(system)
    assert password is not None
    port = free_ports(1)[0]
    process = _start(mongo_uri, prefix, port, data, settings or {})
    url = f"http://127.0.0.1:{port}"
    try:
        await _healthy(url, process)
        dashboard = Dashboard(url, password, system, client[f"{prefix}_live"])
        await dashboard.commit()
        yield dashboard
    finally:
        process.terminate()
        await asyncio.to_thread(process.join, STOP_S)
        assert process.exitcode is not None, "the dashboard does not stop"
        for name in (prefix, f"{prefix}_live"):
            await client.drop_database(name)
        await client.close()


def _start(uri: str, prefix: str, port: int, data: Path, settings: Mapping[str, str]) -> BaseProcess:
    own = {
        "PISTATS_MONGODB__URI": uri,
        "PISTATS_MONGODB__DATABASE_PREFIX": prefix,
        "PISTATS_DASHBOARD__PORT": str(port),
        "PISTATS_DATA": str(data),
        **settings,
    }
    process = FORKS.Process(target=dashboard_process.main, args=({**os.environ, **own}, data))
    process.start()
    return process


async def _healthy(url: str, process: BaseProcess) -> None:
    async with asyncio.timeout(START_S), aiohttp.ClientSession() as session:
        while True:
            assert process.exitcode is None, "the dashboard ended while starting"
            try:
                async with session.get(f"{url}/login") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)


async def sign_in(page: Page, dashboard: Dashboard, path: str = "/", password: str | None = None) -> None:
    """Opens `path` of the live page the way a person does: through the login page."""
    await page.goto(dashboard.url + path)
    await dashboard.commit()  # a consumer that looked just now: the numbers are live, not stale
    await page.fill("#password", password or dashboard.password)
    await page.click("button[type=submit]")
    await page.wait_for_selector(".live[data-state=live]")


CONTROLS = ("button", "checkbox", "combobox", "link", "listbox", "radio", "searchbox", "slider", "switch", "textbox")


async def nameless(page: Page) -> list[str]:
    """Controls of the page that a screen reader could not name, by their role."""
    client = await page.context.new_cdp_session(page)
    tree = await client.send("Accessibility.getFullAXTree")
    await client.detach()
    controls = [node for node in tree["nodes"] if node.get("role", {}).get("value") in CONTROLS]
    assert controls, "the page has not a single control"
    return [node["role"]["value"] for node in controls if not str(node.get("name", {}).get("value", "")).strip()]


async def screenshot(page: Page, name: str) -> None:
    """Kept under `artifacts/` for whoever looks at the build."""
    ARTIFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTIFACTS / f"{name}.png")

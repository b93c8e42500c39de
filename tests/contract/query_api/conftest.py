"""The query API as a real server on a port of its own, over the real mongod."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import uvicorn
from pymongo.asynchronous.database import AsyncDatabase

from pistats.local.ports import free_ports
from pistats.mongo.indexes import ensure_group_indexes, ensure_system_indexes
from pistats.settings import MongoSettings, Settings
from pistats.sites import SiteKeys, SiteStore
from pistats.topology import settle_topology
from pistats.warehouse.archive import Archive
from pistats.warehouse.storage import Storage
from pistats.warehouse.writer import FileWriter
from serve_app.query.app import ROOT_PATH, build_query_app
from tests.warehouse_events import DAY_MS, an_event, chunk_document

Database = AsyncDatabase[dict[str, Any]]

SITE = "example.com"
FIRST_DAY = "2026-11-02"
FIRST_MS = 1_793_613_600_000
"""11 o'clock in Berlin on that day."""

START_TIMEOUT_S = 20.0
REQUEST_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reader:
    """Asks a query API, with one key."""

    api: str
    key: str | None

    async def get(self, path: str, **parameters: str | int) -> Answer:
        return await self.ask("GET", path, params=parameters)

    async def post(self, path: str, body: Any) -> Answer:
        return await self.ask("POST", path, json=body)

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        async with self.session() as session, session.request(method, self.api + path, **options) as answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, headers, await answer.read())

    def session(self) -> aiohttp.ClientSession:
        """Of one test's own; close it."""
        headers = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        return aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(REQUEST_TIMEOUT_S))


@pytest.fixture
async def settings(database: Database, tmp_path: Path) -> Settings:
    """Settings whose system database is this test's own, and the group's beside it."""
    made = Settings(data=tmp_path, mongodb=MongoSettings(database_prefix=database.name))
    await ensure_system_indexes(database)
    await settle_topology(database, made.stream.partitions)
    await ensure_group_indexes(database.client[made.database(made.consumers.group)], made.live.keep_s)
    return made


@pytest.fixture
def group(database: Database, settings: Settings) -> Database:
    """The database of the group that the readers show."""
    return database.client[settings.database(settings.consumers.group)]


@contextmanager
def serving(settings: Settings, mongo_uri: str, **options: Any) -> Iterator[str]:
    """A query API of this test's own, where Serve would have put it: its address."""
    app = build_query_app(settings, mongo_uri, **{"erasure_patience_s": 0, **options})  # no owner looks for requests

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": ROOT_PATH}, receive, send)

    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(mounted, port=port, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + START_TIMEOUT_S
    while not server.started:
        assert thread.is_alive(), "the query API ended"
        assert time.monotonic() < deadline, "the query API doesn't start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}{ROOT_PATH}"
    finally:
        server.should_exit = True
        thread.join(START_TIMEOUT_S)


@pytest.fixture
def api(settings: Settings, mongo_uri: str) -> Iterator[str]:
    """The address of a running query API."""
    with serving(settings, mongo_uri) as address:
        yield address


@pytest.fixture
async def keys(database: Database, settings: Settings) -> SiteKeys:
    """The keys of a site in Berlin's time."""
    return await SiteStore(database).add(SITE, "Europe/Berlin")


@pytest.fixture
def reader(api: str, keys: SiteKeys) -> Reader:
    """Has the site's read key."""
    return Reader(api, keys.read_key)


@pytest.fixture
async def warehouse(database: Database, group: Database, settings: Settings) -> list[dict[str, Any]]:
    """Three days of events of the site, the first two archived, the third still waiting. All of them, in event time."""
    events = [event for day in range(3) for event in a_day(day)]
    await group["chunks"].insert_many([chunk_document(events[: len(events) * 2 // 3])])
    storage = Storage(settings.warehouse_root)
    writer = FileWriter(storage, settings.consumers.group, "run")
    await Archive(group, database, storage, writer, unit_events=100_000).run()
    await group["chunks"].insert_many([chunk_document(events[len(events) * 2 // 3 :])])
    return events


def a_day(day: int) -> list[dict[str, Any]]:
    """Ten visitors who read one page more every day, one of whom buys something, and a bot."""
    views = [
        an_event(
            day * 1_000 + visitor * 10 + view,
            site=SITE,
            visitor_id=f"v{visitor}",
            event_time=FIRST_MS + day * DAY_MS + visitor * 600_000 + view * 60_000,
            path=f"/{view}",
            country=("DE", "AT", None)[visitor % 3],
            channel="Direct",
            properties={"number": view},
        )
        for visitor in range(10)
        for view in range(day + 1)
    ]
    began = FIRST_MS + day * DAY_MS
    bought = an_event(day * 1_000 + 500, site=SITE, visitor_id="v1", name="purchase", event_time=began + 5_000_000)
    bot = an_event(day * 1_000 + 501, site=SITE, visitor_id="bot", is_bot=True, event_time=began)
    return sorted([*views, bought, bot], key=lambda event: (event["event_time"], event["offset"]))


@pytest.fixture
async def other(api: str, database: Database, settings: Settings) -> Reader:
    """Has the read key of another site."""
    return Reader(api, (await SiteStore(database).add("other.example", "UTC")).read_key)

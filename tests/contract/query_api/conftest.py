"""The query API as a real server on a port of its own, over the real mongod."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from serve_app.query.app import ROOT_PATH, build_query_app

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
async def settings(database: AsyncDatabase[dict[str, Any]]) -> AsyncIterator[Settings]:
    """Settings whose system database is this test's own; the group's database is dropped with it."""
    made = Settings(mongodb=MongoSettings(database_prefix=database.name))
    await ensure_system_indexes(database)
    await ensure_group_indexes(database.client[made.database(made.consumers.group)], made.live.keep_s)
    yield made
    await database.client.drop_database(made.database(made.consumers.group))


@pytest.fixture
def group(database: AsyncDatabase[dict[str, Any]], settings: Settings) -> AsyncDatabase[dict[str, Any]]:
    """The database of the group that the readers show."""
    return database.client[settings.database(settings.consumers.group)]


@contextmanager
def serving(settings: Settings, mongo_uri: str, **options: Any) -> Iterator[str]:
    """A query API of this test's own, where Serve would have put it: its address."""
    app = build_query_app(settings, mongo_uri, **options)

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
async def keys(database: AsyncDatabase[dict[str, Any]], settings: Settings) -> SiteKeys:
    """The keys of a site in Berlin's time."""
    return await SiteStore(database).add("example.com", "Europe/Berlin")


@pytest.fixture
def reader(api: str, keys: SiteKeys) -> Reader:
    """Has the site's read key."""
    return Reader(api, keys.read_key)

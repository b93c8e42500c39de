"""The whole endpoint in one process: the real application and batchers, over a log that keeps what it is given."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pistats.ingest.accept import Ingest
from pistats.ingest.batcher import MicroBatcher
from pistats.ingest.retry import RetryPolicy
from pistats.ingest.routes import Router
from pistats.ingest.salts import DailySalts
from pistats.ingest.site_cache import SiteCache
from pistats.settings import IngestSettings, Settings
from pistats.sites import Site, hash_key
from pistats.stream.batch import Appended, Batch
from pistats.topology import Topology
from pistats.topology_cache import TopologyCache
from serve_app.ingest_asgi import IngestApp

KEY = "pw_open"
STRICT_KEY = "pw_strict"
NOW = 1_795_000_000_000


def make_site(name: str, key: str, origins: tuple[str, ...] = (), *, truncate_ip: bool = True) -> Site:
    return Site(name, "UTC", hash_key(key), hash_key("read" + key), origins, truncate_ip, 0)


SITES = [
    make_site("news.example", KEY),
    make_site("strict.example", STRICT_KEY, ("https://strict.example",)),
    make_site("whole-ip.example", "pw_whole", truncate_ip=False),
]


class MemoryLog:
    """One partition's log: dedupes by key, remembers batches, and fails as often as it is told."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.records: list[bytes] = []
        self.failures: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._keys: set[bytes] = set()

    async def append(self, batch: Batch) -> Appended:
        self.batches.append(batch)
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        first, duplicates = len(self.records), []
        for index, (key, payload) in enumerate(zip(batch.keys, batch.payloads, strict=True)):
            if key in self._keys:
                duplicates.append(index)
            else:
                self._keys.add(key)
                self.records.append(payload)
        return Appended(first, duplicates, 1)


class FixedSalts:
    """The same salt in every test, another one each day."""

    async def salt(self, day: int) -> bytes:
        return day.to_bytes(32, "big")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Endpoint:
    """The application, called as a server calls it."""

    app: IngestApp
    ingest: Ingest
    logs: list[MemoryLog]
    clock: list[int]
    ready_error: list[Exception] = field(default_factory=list)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110  # what is waited for has no event
                await asyncio.sleep(0.001)

    def stored(self) -> list[dict[str, Any]]:
        return [json.loads(record) for log in self.logs for record in log.records]

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | list[bytes] = b"",
        headers: dict[str, str] | None = None,
        client: str = "203.0.113.77",
    ) -> Answer:
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
            "client": (client, 50_000),
        }
        chunks = [body] if isinstance(body, bytes) else list(body)
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if not chunks:
                return {"type": "http.disconnect"}
            chunk = chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start, end = sent
        received = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], received, end["body"])

    async def post(self, body: bytes | object, key: str = KEY, **headers: str) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", "/v1/events", raw, {"x-pistats-key": key, **named})


MakeEndpoint = Callable[..., Endpoint]


@pytest.fixture
async def make_endpoint() -> AsyncIterator[MakeEndpoint]:
    opened: list[Endpoint] = []

    def make(partitions: int = 2, **limits: Any) -> Endpoint:
        settings = Settings(ingest=IngestSettings(**limits))
        logs = [MemoryLog() for _ in range(partitions)]
        clock = [NOW]

        async def load() -> list[Site]:
            return SITES

        retry = RetryPolicy(0.001, 0.002)
        topology = Topology(partitions)

        async def load_topology() -> Topology:
            return topology

        router = Router(
            TopologyCache(load_topology, topology),
            lambda n, layout: MicroBatcher(n, logs[n].append, settings.ingest, retry, layout=layout),
            settings.stream.dedupe_window_s,
        )
        now = lambda: clock[0]  # noqa: E731
        sites = SiteCache(load, settings.ingest.site_refresh_s)
        ingest = Ingest(
            sites,
            DailySalts(FixedSalts()),
            router,
            settings.ingest,
            now,
            is_http_library=lambda agent: agent.startswith("curl/"),
        )
        ingest.start()
        endpoint = Endpoint(None, ingest, logs, clock)  # type: ignore[arg-type]
        opened.append(endpoint)

        async def ready() -> None:
            if endpoint.ready_error:
                raise endpoint.ready_error[0]

        endpoint.app = IngestApp(ingest, ready, b"console.log('tracker')", settings)
        return endpoint

    yield make
    for endpoint in opened:
        for log in endpoint.logs:
            log.gate.set()
        await endpoint.ingest.close()


@pytest.fixture
async def endpoint(make_endpoint: MakeEndpoint) -> Endpoint:
    return make_endpoint()

"""What ingest costs without network, Ray or disk: ASGI calls a second in one process, and µs per event in batches.

    .venv/bin/python -m benchmarks.ingest              # in-process figures
    .venv/bin/python -m benchmarks.ingest --serve PORT # the same application under uvicorn, for a load generator
    .venv/bin/python -m benchmarks.ingest --profile    # where the time of a single event goes

The append answers at once, so what is left is the price of reading, checking, batching and answering. Seconds are
seconds of CPU of this process, so that what else the machine does matters little.
"""

import asyncio
import cProfile
import gzip
import pstats
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import uvicorn

from benchmarks.figures import Figures, Result
from benchmarks.part import arguments, run
from pistats.ingest.accept import Ingest
from pistats.ingest.batcher import MicroBatcher
from pistats.ingest.parse import parse
from pistats.ingest.routes import Router
from pistats.ingest.salts import DailySalts
from pistats.ingest.site_cache import SiteCache
from pistats.settings import Settings
from pistats.sites import Site, hash_key
from pistats.stream.batch import Appended, Batch
from pistats.topology import Topology
from pistats.topology_cache import TopologyCache
from serve_app.ingest_asgi import IngestApp

KEY = "pw_benchmark"
PARTITIONS = 4
CONNECTIONS = 32
"""Calls in flight: what one replica sees under the headline load."""

EVENT = {
    "event_id": "3f2b6c1e-1f0e-4a6a-9d3c-8f2c7f4f0b11",
    "name": "page_view",
    "visitor_id": "0b9b1c9e-7f9d-4a8e-8b5d-2f3a4b5c6d7e",
    "url": "https://news.example/sport/cricket-final?utm_source=mail",
    "referrer": "https://www.google.com/",
    "title": "Cricket final",
    "time": 1_795_000_000_000,
    "language": "en-IN",
    "screen": "1920x1080",
    "properties": {"topic": "cricket", "section": "sport"},
}
USER_AGENT = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"


class FixedSalts:
    """A salt without MongoDB."""

    async def salt(self, day: int) -> bytes:
        """See `SaltStore`."""
        return day.to_bytes(32, "big")


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request, with the events it carries."""

    name: str
    body: bytes
    events: int
    headers: tuple[tuple[bytes, bytes], ...] = ()


def make_app(settings: Settings) -> IngestApp:
    """The real application over an append that is done when it is asked for."""
    site = Site("news.example", "UTC", hash_key(KEY), hash_key("read"), (), True, 0)

    async def load() -> Sequence[Site]:
        return [site]

    async def append(_batch: Batch) -> Appended:
        return Appended(0, [], 1)

    async def ready() -> None:
        return None

    async def load_topology() -> Topology:
        return Topology(PARTITIONS)

    router = Router(
        TopologyCache(load_topology, Topology(PARTITIONS)),
        lambda partition, layout: MicroBatcher(partition, append, settings.ingest, layout=layout),
        settings.stream.dedupe_window_s,
    )
    ingest = Ingest(SiteCache(load, 2.0), DailySalts(FixedSalts()), router, settings.ingest)
    return IngestApp(ingest, ready, b"", settings)


def make_cases() -> list[Case]:
    """Single events as a browser sends them, and batches of 50 in every form."""
    fifty = [{**EVENT, "event_id": f"{number:032x}", "visitor_id": f"visitor-{number}"} for number in range(50)]
    bad = [*fifty[:49], {"name": "page_view"}]
    array = orjson.dumps(fifty)
    anonymous = {name: value for name, value in EVENT.items() if name not in ("event_id", "visitor_id")}
    return [
        Case("single event", orjson.dumps(EVENT), 1),
        Case("single event, tracker's envelope", orjson.dumps({"sent_at": 1_795_000_000_000, "events": [EVENT]}), 1),
        Case("single event, no ids", orjson.dumps(anonymous), 1),
        Case("50 events, array", array, 50),
        Case("50 events, NDJSON", b"\n".join(map(orjson.dumps, fifty)), 50),
        Case("50 events, gzip", gzip.compress(array), 50, ((b"content-encoding", b"gzip"),)),
        Case("50 events, one without url", orjson.dumps(bad), 50),
        Case("50 events, one broken", array.replace(b'"visitor-7"', b"oops", 1), 50),
        Case("1000 events, array", orjson.dumps(fifty * 20), 1000),
    ]


async def calls_per_s(app: IngestApp, case: Case, seconds: float) -> float:
    """Calls per second of CPU with `CONNECTIONS` in flight."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/events",
        "query_string": b"key=" + KEY.encode(),
        "headers": [
            (b"host", b"localhost:8000"),
            (b"content-length", str(len(case.body)).encode()),
            (b"user-agent", USER_AGENT),
            (b"origin", b"https://news.example"),
            (b"x-forwarded-for", b"203.0.113.77"),
            *case.headers,
        ],
        "client": ("127.0.0.1", 50_000),
    }
    statuses: set[int] = set()
    calls = 0
    end = time.process_time() + seconds

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": case.body, "more_body": False}

    async def send(message: Any) -> None:
        if "status" in message:
            statuses.add(message["status"])

    async def client() -> None:
        nonlocal calls
        while time.process_time() < end:
            await app(scope, receive, send)
            calls += 1

    start = time.process_time()
    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    assert statuses == {202}, statuses
    return calls / (time.process_time() - start)


async def with_app(work: Callable[[IngestApp, Figures], Awaitable[None]]) -> Result:
    """Run `work` between the application's start and stop."""
    app, figures = make_app(Settings()), Figures("ingest")
    await app.start()
    await work(app, figures)
    await app.close()
    return figures.result()


async def report(app: IngestApp, figures: Figures) -> None:
    """The figures of every case."""
    for case in make_cases():
        rate = await calls_per_s(app, case, 2.0)
        body = gzip.decompress(case.body) if case.headers else case.body
        limits = Settings().ingest
        rounds = max(1, 20_000 // case.events)
        start = time.process_time()
        for _ in range(rounds):
            parse(body, limits)
        parse_us = (time.process_time() - start) / rounds / case.events * 1e6
        figures.add(case.name, rate, "requests/s")
        figures.add(f"{case.name}: an event", 1e6 / rate / case.events, "µs")
        figures.add(f"{case.name}: of it parse", parse_us, "µs")


async def profile(app: IngestApp, _: Figures) -> None:
    """Print the functions that a single event spends its time in."""
    profiler = cProfile.Profile()
    profiler.enable()
    await calls_per_s(app, make_cases()[0], 3.0)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


def measure(profiled: bool = False) -> Result:
    """All figures; with `profiled` none."""
    return asyncio.run(with_app(profile if profiled else report))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--serve", type=int, metavar="PORT")
    chosen = parser.parse_args()
    if chosen.serve:
        uvicorn.run(make_app(Settings()), port=chosen.serve, log_level="warning", access_log=False, proxy_headers=False)
        return
    run(lambda: measure(chosen.profile), keep=chosen.save)


if __name__ == "__main__":
    main()

"""Live numbers over HTTP: asked for once, and as a stream that moves by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from pymongo.asynchronous.database import AsyncDatabase

from pistats.clock import now_ms
from pistats.consumer.groups import Groups
from pistats.enrich.event import FIELDS
from pistats.live.bucket import MinuteBucket
from pistats.live.source import LiveSource
from pistats.settings import Settings
from pistats.sites import SiteStore
from serve_app.query import live
from serve_app.query.live_numbers import LiveNumbers
from tests.contract.query_api.conftest import Reader

Database = AsyncDatabase[dict[str, Any]]


def a_minute(site: str, visitor: str, partition: int = 0) -> dict[str, Any]:
    """The stored minute of one page view that happens now."""
    now, bucket = now_ms(), MinuteBucket()
    event = {**dict.fromkeys(FIELDS), "site": site, "visitor_id": visitor, "event_id": visitor, "name": "page_view"}
    bucket.fold({**event, "event_time": now, "received_time": now, "path": "/a", "is_bot": False})
    minute = now - now % 60_000
    return {"_id": {"site": site, "minute": minute, "partition": partition}, **bucket.to_document()}


@asynccontextmanager
async def streaming(reader: Reader) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """What the live stream shows, as it comes."""

    async def shown(lines: Any) -> AsyncIterator[dict[str, Any]]:
        async for line in lines:
            if line.startswith(b"data:"):
                yield orjson.loads(line[5:])

    async with reader.session() as session, session.get(reader.api + "/v1/live/stream") as answer:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield shown(answer.content)


async def test_the_stream_moves_when_something_is_counted(reader: Reader, group: Database) -> None:
    await group["minutes"].insert_one(a_minute("example.com", "first"))
    await group["minutes"].insert_one(a_minute("other.example", "elsewhere"))

    async with streaming(reader) as shown:
        before = await anext(shown)
        await group["minutes"].insert_one(a_minute("example.com", "second", partition=1))
        after = await anext(one async for one in shown if one["current_visitors_5m"] != 1)

    assert before["current_visitors_5m"] == 1
    assert before["top_pages"] == [{"path": "/a", "views": 1, "visitors": 1}]
    assert after["current_visitors_5m"] == 2
    assert (await reader.get("/v1/live")).json()["current_visitors_5m"] == 2


async def test_readers_follow_a_promotion(
    reader: Reader, database: Database, settings: Settings, group: Database
) -> None:
    groups = Groups(database, settings)
    await groups.settle()
    await groups.create("again", "trim-horizon")
    await group["minutes"].insert_one(a_minute("example.com", "first"))
    again = groups.database("again")
    await again["minutes"].insert_many([a_minute("example.com", one, partition=int(one)) for one in "012"])
    try:
        async with streaming(reader) as shown, asyncio.timeout(10):
            before = await anext(shown)
            await groups.promote("again")
            after = await anext(one async for one in shown if one["current_visitors_5m"] != 1)
        asked = (await reader.get("/v1/live")).json()
    finally:
        await database.client.drop_database(again)

    assert (before["current_visitors_5m"], after["current_visitors_5m"], asked["current_visitors_5m"]) == (1, 3, 3)


async def test_a_stream_ends_when_its_key_is_replaced(reader: Reader, database: Database, monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "KEY_CHECK_S", 0.1)
    async with streaming(reader) as shown, asyncio.timeout(10):
        await anext(shown)
        await SiteStore(database).rotate_key("example.com", "read")
        rest = [one async for one in shown]

    assert len(rest) < 20
    assert (await reader.get("/v1/live/stream")).status == 401


async def test_too_many_streams_are_refused(reader: Reader, monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "MAX_STREAMS", 1)
    async with streaming(reader) as shown:
        await anext(shown)
        refused = await reader.get("/v1/live/stream")

    assert (refused.status, refused.json()["type"]) == (429, "/problems/overloaded")
    assert int(refused.headers["retry-after"]) > 0


async def test_nothing_is_followed_when_nobody_reads(group: Database) -> None:
    numbers = LiveNumbers(lambda view, clock, changed: LiveSource(group, view, clock, changed), 5, linger_s=0.05)
    before = numbers.following
    async with numbers.reading() as hub:
        during = numbers.following
        hub.snapshot("example.com")
    async with asyncio.timeout(5):
        while numbers.following:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    async with numbers.reading() as hub:
        await group["minutes"].insert_one(a_minute("example.com", "first"))
        async with asyncio.timeout(5), hub.messages("example.com") as messages:
            await anext(one async for one in messages if orjson.loads(one)["current_visitors_5m"] == 1)
    await numbers.close()

    assert (before, during) == (False, True)

"""What `serve_app.middleware` does to the server that Serve starts in each process: a real one, without Serve."""

import asyncio
import socket
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serve_app import middleware

DEADLINE_S = 20


class CountingServer(uvicorn.Server):
    ticks = 0

    async def on_tick(self, counter: int) -> bool:
        self.ticks += 1
        return await super().on_tick(counter)


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[CountingServer, asyncio.Task[None], str]]:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.headers.get("x-request-disconnect-disabled", "watched"))

    monkeypatch.setattr(uvicorn.Server, "main_loop", uvicorn.Server.main_loop)  # put back at the end
    app = Starlette(routes=[Route("/{path:path}", page)], middleware=middleware.middlewares())
    listener = socket.create_server(("127.0.0.1", 0))
    server = CountingServer(uvicorn.Config(app, lifespan="off", log_level="error"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield server, serving, f"http://127.0.0.1:{listener.getsockname()[1]}"
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_the_server_sleeps_between_two_dates_of_its_answers(
    served: tuple[CountingServer, asyncio.Task[None], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _, url = served
    monkeypatch.setattr(middleware, "TICK_S", 3_600)
    async with aiohttp.ClientSession() as session:
        for _ in range(5):
            async with session.get(url) as answer:
                assert parsedate_to_datetime(answer.headers["date"]).tzinfo is not None
            await asyncio.sleep(0.1)  # a tick of uvicorn's own loop
    assert server.ticks == 1


async def test_the_server_ends_when_it_is_told_to(served: tuple[CountingServer, asyncio.Task[None], str]) -> None:
    server, serving, url = served
    async with aiohttp.ClientSession() as session, session.get(url):
        server.should_exit = True
    async with asyncio.timeout(DEADLINE_S):
        await serving


async def test_only_the_query_api_notices_a_reader_that_has_gone(
    served: tuple[CountingServer, asyncio.Task[None], str],
) -> None:
    url = served[2]
    async with aiohttp.ClientSession() as session:
        for path, told in (("/v1/events", "?1"), ("/api/v1/live", "watched")):
            async with session.get(url + path) as answer:
                assert await answer.text() == told

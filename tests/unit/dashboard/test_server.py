"""The dashboard's HTTP server: it sleeps while nothing comes, and still stops at once."""

import asyncio
import signal
import socket

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from dashboard import run

DEADLINE_S = 20


class CountingServer(run.Server):
    ticks = 0

    async def on_tick(self, counter: int) -> bool:
        self.ticks += 1
        return await super().on_tick(counter)


async def test_it_sleeps_between_two_dates_and_a_stop_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def page(_: Request) -> PlainTextResponse:
        return PlainTextResponse("here")

    monkeypatch.setattr(run, "TICK_S", 3_600)
    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/", page)])
    server = CountingServer(uvicorn.Config(app, lifespan="off", log_level="error"))
    # Not in the main thread: there it would take the signals of this process.
    serving = asyncio.create_task(asyncio.to_thread(server.run, [listener]))
    async with aiohttp.ClientSession() as session:
        for _ in range(5):
            async with session.get(f"http://127.0.0.1:{listener.getsockname()[1]}/") as answer:
                assert "date" in answer.headers
            await asyncio.sleep(0.1)  # a tick of uvicorn's own loop
    assert server.ticks == 1
    server.handle_exit(signal.SIGTERM, None)
    async with asyncio.timeout(DEADLINE_S):
        await serving
    assert server.ticks == 2

"""Serves the demo site until it is told to stop."""

import asyncio
import signal
from html import escape

from aiohttp import web

from pistats.demo_site.catalogue import BY_PATH, SECTIONS
from pistats.demo_site.pages import Pages

SHUTDOWN_S = 0.2
"""Open connections are closed after this: a browser keeps them for minutes."""


def application(key: str, api: str) -> web.Application:
    """The site, with the tracker of the piStats at `api` and that write key on every page."""
    source = f"{api.rstrip('/')}/t.js"
    pages = Pages(f'<script defer src="{escape(source)}" data-key="{escape(key)}"></script>')

    async def front(request: web.Request) -> web.Response:  # noqa: ARG001
        return _html(pages.front())

    async def results(request: web.Request) -> web.Response:
        return _html(pages.results(request.query.get("q", "")[:200]))

    async def other(request: web.Request) -> web.Response:
        path = request.path.rstrip("/")
        if path in BY_PATH:
            return _html(pages.article(BY_PATH[path]))
        if path[1:] in SECTIONS:
            return _html(pages.section(path[1:]))
        return _html(pages.missing(), status=404)

    app = web.Application()
    app.add_routes([web.get("/", front), web.get("/search", results), web.get("/{path:.*}", other)])
    return app


async def serve(app: web.Application, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT, then returns within a second. Port 0: a free one; the address is printed."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        print(f"demo site: http://{host}:{runner.addresses[0][1]}/", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers={"cache-control": "no-store"})

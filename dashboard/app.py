"""The dashboard as one ASGI application: Streamlit's pages, our socket, one change stream, one gate."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route, WebSocketRoute

from dashboard import shell
from dashboard.answers import Answers
from dashboard.gate import Gate
from dashboard.keeper import Keeper
from dashboard.live_socket import PATH, LiveSocket
from dashboard.oidc import Oidc
from dashboard.services import Services, provide
from dashboard.shown import ShownGroup
from dashboard.sign_in import SignIns
from pistats.clock import now_ms
from pistats.consumer.groups import reader_group
from pistats.live import LiveView
from pistats.live.hub import LiveHub
from pistats.live.source import LiveSource
from pistats.operations import Operations
from pistats.reports.reports import Reports
from pistats.settings import Settings
from pistats.warehouse.engine import QueryEngine
from pistats.warehouse.source import EventSource

SCRIPT = Path(__file__).parent / "main.py"


def build(settings: Settings, client: AsyncMongoClient[dict[str, Any]], clock: Callable[[], int] = now_ms) -> st.App:
    """The application, not yet started. `client` is closed with it; nothing is read before it starts."""
    system = client[settings.database()]
    keeper = Keeper(system)
    shown = _shown_group(settings, client, system, clock)
    hub = LiveHub(lambda: shown.source.view, lambda: shown.source.connected, settings.live.updates_per_s, clock)
    shown.changed = hub.changed
    sign_ins = SignIns(keeper, settings.dashboard.sign_in_s, clock, settings.oidc)
    operations = Operations(client, settings, clock)
    oidc = Oidc(settings.oidc, settings.dashboard, clock)
    document = shell.document()

    @asynccontextmanager
    async def lifespan(_app: st.App) -> AsyncIterator[None]:
        provide(
            Services(
                settings, system, keeper, sign_ins, hub, shown, Answers(clock), operations, asyncio.get_running_loop()
            )
        )
        tasks = [asyncio.create_task(part.run()) for part in (keeper, shown, hub)]
        try:
            yield
        finally:
            await _end(tasks)
            await client.close()
            provide(None)

    return st.App(
        SCRIPT,
        lifespan=lifespan,
        routes=[WebSocketRoute(PATH, LiveSocket(hub).serve), Route("/live", _to_live), *shell.routes(document)],
        middleware=[
            Middleware(Gate, source=keeper, sign_ins=sign_ins, oidc=oidc, clock=clock, early=shell.files(document))
        ],
        secrets=oidc.secrets(),
    )


async def _to_live(request: Request) -> RedirectResponse:
    """Live is the default page, which Streamlit has at `/` and nowhere else; people type its name."""
    return RedirectResponse(f"/?{request.url.query}" if request.url.query else "/")


def _shown_group(
    settings: Settings,
    client: AsyncMongoClient[dict[str, Any]],
    system: AsyncDatabase[dict[str, Any]],
    clock: Callable[[], int],
) -> ShownGroup:
    """What belongs to the group that the readers show, made anew when that is another one."""
    engine, warehouse = QueryEngine.standard(settings), settings.warehouse

    def source(group: AsyncDatabase[dict[str, Any]], changed: Callable[[], None]) -> LiveSource[LiveView]:
        return LiveSource(group, LiveView, clock, changed)

    def reports(group: AsyncDatabase[dict[str, Any]]) -> Reports:
        events = EventSource(
            group,
            system,
            settings.warehouse_root,
            cache_bytes=warehouse.cache_bytes,
            max_waiting_events=warehouse.max_waiting_events,
        )
        return Reports(events, engine, group, system, settings.warehouse_root, clock)

    return ShownGroup(
        settings.consumers.group,
        lambda: reader_group(system, settings),
        lambda name: client[settings.database(name)],
        source,
        reports,
    )


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""Starts the dashboard: `python -m dashboard`, with settings from `pistats.toml` and `PISTATS_*`."""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from streamlit.web import bootstrap

from dashboard import colours
from dashboard.app import build
from pistats.errors import ConfigurationError
from pistats.mongo.client import connect
from pistats.settings import Settings

OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "viewer",
    "client.showErrorLinks": False,
    "global.developmentMode": False,
    "logger.hideWelcomeMessage": True,
    "logger.level": "warning",
    "runner.magicEnabled": False,
    # A full collection after every rerun took 98.8 % CPU with 20 viewers.
    "runner.postScriptGC": False,
    # The watcher would make a second, dead set of services after an edit.
    "server.fileWatcherType": "none",
    "server.headless": True,
    # Another way in, for programs: the query API is ours.
    "server.enableAgentApi": False,
    # Ends the memory of a closed page after a minute; a reconnecting browser is back within seconds.
    "server.disconnectedSessionTTL": 60,
    "theme.font": "'Source Sans', system-ui, sans-serif",
    "theme.baseRadius": "10px",
    "theme.showWidgetBorder": True,
    **colours.theme(),
}
"""Streamlit's own options. They are set here so that no config file of the machine can change the product."""

STOP_S = 2
"""How long open sockets get to end after a stop signal."""

TICK_S = 1.0
"""How often the date of answers is set."""


class Server(uvicorn.Server):
    """Wakes up once a second, and at once to stop. uvicorn's own looks ten times a second whether it is to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):  # the 0 is that of every tenth tick, which sets the date
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._told.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A stop signal has come, in whatever thread."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)


def main() -> None:
    """Serves until SIGTERM or SIGINT; then ends within a few seconds."""
    flags: dict[str, Any] = {}
    try:
        serve(Settings(**flags))
    except ConfigurationError as error:
        sys.exit(f"dashboard: {error}")


def serve(settings: Settings) -> None:
    """Runs the dashboard where `settings.dashboard` says, blocking."""
    uri = settings.mongodb.uri or os.environ.get("MONGODB_URI")
    if not uri:
        raise ConfigurationError("No MongoDB to read from: set PISTATS_MONGODB__URI, or start with `pistats up`.")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    bootstrap.load_config_options(OPTIONS)
    config = uvicorn.Config(
        build(settings, connect(uri)),
        host=settings.dashboard.host,
        port=settings.dashboard.port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
    )
    with suppress(KeyboardInterrupt):  # raised again after the end
        Server(config).run()

"""A line to the dashboard that can be cut, and mended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Line:
    """Forwards bytes between browsers and a dashboard. `cut` breaks every connection and refuses new ones."""

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port
        self._whole = True
        self._ends: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Gives the address at which browsers find the dashboard behind the line."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.cut()
        server.close()

    def cut(self) -> None:
        self._whole = False
        for end in self._ends:
            end.close()

    def mend(self) -> None:
        self._whole = True

    async def _serve(self, from_browser: asyncio.StreamReader, to_browser: asyncio.StreamWriter) -> None:
        if not self._whole:
            return to_browser.close()
        from_dashboard, to_dashboard = await asyncio.open_connection("127.0.0.1", self._port)
        ends = {to_browser, to_dashboard}
        self._ends |= ends
        await asyncio.gather(_copy(from_browser, to_dashboard), _copy(from_dashboard, to_browser))
        self._ends -= ends
        return None


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()

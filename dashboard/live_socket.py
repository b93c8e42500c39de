"""The socket of the live page: sends snapshots, reads nothing."""

import asyncio
import zlib
from functools import lru_cache

from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard.gate import SCOPE_KEY, SOCKET_REFUSED
from dashboard.sign_in import SignIn
from pistats.live.hub import LiveHub

PATH = "/live/socket"

MAX_SITE_CHARS = 200
"""Longer than any site's name."""

PACK_FROM_CHARS = 1_000
"""Shorter frames go as they are."""


class LiveSocket:
    """`serve` answers `/live/socket?site=NAME` with frames until either side leaves: the first has the whole snapshot
    as a JSON object, each later one the values that have changed. Long ones are binary, in raw deflate.

    A guest's socket shows the site of the share link and no other."""

    def __init__(self, hub: LiveHub) -> None:
        self._hub = hub

    async def serve(self, websocket: WebSocket) -> None:
        site = websocket.query_params.get("site", "")[:MAX_SITE_CHARS]
        sign_in: SignIn = websocket.scope[SCOPE_KEY]
        if not sign_in.may_see(site):
            await websocket.close(SOCKET_REFUSED)
            return
        await websocket.accept()
        sending = asyncio.create_task(self._send(websocket, site))
        try:
            await _until_closed(websocket)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await _close(websocket)

    async def _send(self, websocket: WebSocket, site: str) -> None:
        async with self._hub.messages(site, changes=True) as messages:
            async for message in messages:
                if len(message) < PACK_FROM_CHARS:
                    await websocket.send_text(message)
                else:
                    await websocket.send_bytes(packed(message))


@lru_cache(maxsize=16)
def packed(message: str) -> bytes:
    """A fifth of its bytes. All viewers of a site are sent the same string, which is compressed once."""
    return zlib.compress(message.encode(), wbits=-zlib.MAX_WBITS)


async def _until_closed(websocket: WebSocket) -> None:
    """Returns when the browser has left or the gate has ended the sign-in; what a browser sends is ignored."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _close(websocket: WebSocket) -> None:
    """Tells a browser that is still there that this is over. One that is gone cannot be told."""
    try:
        await websocket.close(1008)
    except (RuntimeError, WebSocketDisconnect, OSError):
        return

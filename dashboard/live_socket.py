"""The socket of the live page: sends snapshots, reads nothing."""

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard.gate import SCOPE_KEY, SOCKET_REFUSED
from dashboard.sign_in import SignIn
from pistats.live.hub import LiveHub

PATH = "/live/socket"

MAX_SITE_CHARS = 200
"""Longer than any site's name."""


class LiveSocket:
    """`serve` answers `/live/socket?site=NAME`: one JSON snapshot per text frame until either side leaves.

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
        async with self._hub.messages(site) as messages:
            async for message in messages:
                await websocket.send_text(message)


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

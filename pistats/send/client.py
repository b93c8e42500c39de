"""The HTTP side of sending: one session with bounded connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from pistats.send.delivery import Delivery, RetryPolicy, poster


@asynccontextmanager
async def delivery_to(url: str, key: str, policy: RetryPolicy, *, connections: int) -> AsyncIterator[Delivery]:
    """A Delivery to the endpoint at `url` with at most that many connections; closed at the end of the block."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=30)
    async with aiohttp.ClientSession(connector=connector, headers={"user-agent": "pistats"}) as session:
        yield Delivery(poster(session, url, key), policy)

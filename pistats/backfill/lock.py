"""One import per site at a time: two that read the same growing log at once would not know each other's last lines.

The document `import SITE` of `watermarks`: `{owner, expires}` (Unix ms). Whoever publishes renews it in the same
transaction, so an import that was paused until another one took over publishes nothing more.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError, PyMongoError

from pistats.clock import Clock, now_ms
from pistats.errors import UnavailableError
from pistats.mongo.indexes import Database

LEASE_MS = 30_000
RENEW_S = 10.0
POLL_S = 0.5
WAIT_S = 35.0
"""A little longer than the lease of an import that was killed."""


class ImportLock:
    """Held from `hold` on, while the block runs."""

    def __init__(self, system: Database, site: str, clock: Clock = now_ms) -> None:
        self._watermarks = system["watermarks"]
        self._id = f"import {site}"
        self._site = site
        self._owner = uuid4().hex
        self._clock = clock

    @asynccontextmanager
    async def hold(self, wait_s: float = WAIT_S) -> AsyncIterator[None]:
        """Be the only import of the site. Raises UnavailableError when another one still is after `wait_s`."""
        deadline = time.monotonic() + wait_s
        while not await self._take():
            if time.monotonic() > deadline:
                raise UnavailableError(f"Another import into {self._site} is under way: run this one after it.")
            await asyncio.sleep(POLL_S)
        renewal = asyncio.create_task(self._renew_for_ever())
        try:
            yield
        finally:
            renewal.cancel()
            await self._watermarks.delete_one({"_id": self._id, "owner": self._owner})

    async def check(self, session: AsyncClientSession) -> None:
        """Renew it in this transaction. Raises UnavailableError when another import has taken over."""
        renewed = await self._watermarks.update_one(
            {"_id": self._id, "owner": self._owner}, {"$set": {"expires": self._clock() + LEASE_MS}}, session=session
        )
        if renewed.matched_count == 0:
            raise UnavailableError(f"Another import into {self._site} has taken over from this one, which was paused.")

    async def _take(self) -> bool:
        now = self._clock()
        try:
            await self._watermarks.update_one(
                {"_id": self._id, "$or": [{"owner": self._owner}, {"expires": {"$lte": now}}]},
                {"$set": {"owner": self._owner, "expires": now + LEASE_MS}},
                upsert=True,
            )
        except DuplicateKeyError:
            return False
        return True

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(PyMongoError):  # else the first that fails would be the last: a failover is over in seconds
                await self._watermarks.update_one(
                    {"_id": self._id, "owner": self._owner}, {"$set": {"expires": self._clock() + LEASE_MS}}
                )

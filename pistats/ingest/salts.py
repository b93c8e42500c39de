"""The secret that anonymous visitor ids are made with: one per UTC day, the same in every process, soon forgotten."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError

from pistats.clock import Clock, now_ms
from pistats.errors import UnavailableError

SALT_BYTES = 32
DAY_MS = 86_400_000

EARLY_MS = 3_600_000
"""Tomorrow's salt is fetched in the last hour of the day, so that midnight does not depend on MongoDB."""


class SaltStore(Protocol):
    """Where the days' salts are kept."""

    async def salt(self, day: int) -> bytes:
        """The salt of a day, counted from 1970-01-01, made if there is none yet. The same for every caller.

        Raises UnavailableError. May be repeated.
        """
        ...


class MongoSaltStore:
    """Salts in the collection `salts` of the system database. Asking for a day's salt deletes those of two days before.

    `_id` is the date. The unique `_id` decides when two processes ask for a new day at the same time.
    """

    def __init__(
        self, database: AsyncDatabase[dict[str, Any]], random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._salts = database["salts"]
        self._random = random

    async def salt(self, day: int) -> bytes:
        """See `SaltStore`."""
        try:
            salt = await self._get_or_make(_date(day))
            await self._salts.delete_many({"_id": {"$lt": _date(day - 1)}})
        except PyMongoError as error:
            raise UnavailableError(f"The salt of {_date(day)} cannot be read from MongoDB: {error}") from error
        return salt

    async def _get_or_make(self, date: str) -> bytes:
        new = {"$setOnInsert": {"salt": self._random(SALT_BYTES), "created_at": datetime.now(UTC)}}
        for _ in range(2):
            try:
                document: Any = await self._salts.find_one_and_update(
                    {"_id": date}, new, upsert=True, return_document=ReturnDocument.AFTER
                )
                return bytes(document["salt"])
            except DuplicateKeyError:  # another process was faster: its salt is there now
                continue
        raise UnavailableError(f"The salt of {date} could not be agreed on in MongoDB.")


class DailySalts:
    """The day's salt in memory, and tomorrow's a little early."""

    def __init__(self, store: SaltStore, clock: Clock = now_ms) -> None:
        self._store = store
        self._clock = clock
        self._salts: dict[int, bytes] = {}
        self._fetches: dict[int, asyncio.Task[bytes]] = {}

    async def at(self, time_ms: int) -> bytes:
        """The salt of the day that `time_ms` is in. Raises UnavailableError."""
        day = time_ms // DAY_MS
        salt = self._salts.get(day)
        if salt is None:
            salt = await asyncio.shield(self._fetch(day))
        if (tomorrow := (time_ms + EARLY_MS) // DAY_MS) not in self._salts:
            self._fetch(tomorrow)
        return salt

    def _fetch(self, day: int) -> asyncio.Task[bytes]:
        """One fetch per day at a time, which those who need it share."""
        fetch = self._fetches.get(day)
        if fetch is None:
            fetch = self._fetches[day] = asyncio.get_running_loop().create_task(self._store.salt(day))
            fetch.add_done_callback(lambda done: self._keep(day, done))
        return fetch

    def _keep(self, day: int, fetch: asyncio.Task[bytes]) -> None:
        del self._fetches[day]
        if not fetch.cancelled() and fetch.exception() is None:
            self._salts = {kept: salt for kept, salt in self._salts.items() if kept >= day - 1}
            self._salts[day] = fetch.result()


def _date(day: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat()

"""Keeps what every page needs from the system's database in memory: who may enter, and which sites there are."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from pistats.dashboard_access import DashboardAccess, SignedOut, ensure_password, load_access
from pistats.share_links import ShareLinks
from pistats.sites import SiteStore

log = logging.getLogger(__name__)

REFRESH_S = 2.0
"""How soon a new site, a changed password or a revoked link is noticed: a few tiny reads."""

UNUSED_S = 10.0
"""Without a request and an open socket for so long, nobody is there who would notice."""

UNUSED_REFRESH_S = 30.0
"""Then it is read so often: what MongoDB said last, should it be away when somebody comes, is no older."""

WAKE_S = 2.0
"""How long the first request after such a time waits for MongoDB."""

END_S = 2.0
"""How long a browser that signs out waits for MongoDB."""

RETRY_S = 0.5
"""Until MongoDB has answered once nobody can sign in, so it is asked more often."""


class Keeper:
    """The latest known access and sites; both survive MongoDB being away. Hardly reads while nobody asks."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, from anywhere."""
        self._database = database
        self._clock = clock
        self._looked = clock()
        self._rests = False
        self._wanted = asyncio.Event()
        self._fresh = asyncio.Event()
        self._access: DashboardAccess | None = None
        self._sites: tuple[str, ...] = ()
        self._ending: dict[str, int] = {}

    @property
    def access(self) -> DashboardAccess | None:
        """Who may enter; None until MongoDB has answered once."""
        return self._access

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of all sites, by name."""
        return self._sites

    async def end(self, sign_in_id: str, expires_time: int) -> None:
        """Ends a sign-in, here at once and elsewhere in seconds; also when MongoDB is away, which is told later."""
        self._ending[sign_in_id] = expires_time
        if self._access is not None:
            self._access = replace(self._access, signed_out=self._access.signed_out | {sign_in_id})
        try:
            async with asyncio.timeout(END_S):
                await SignedOut(self._database).add({sign_in_id: expires_time})
        except (PyMongoError, TimeoutError) as error:
            log.warning("That someone has signed out is stored when MongoDB answers again: %s", error)

    @property
    def rests(self) -> bool:
        """Whether nobody has asked for long, so that what is known may be old."""
        return self._rests

    async def look(self) -> None:
        """Call it before `access` decides. Waits only when nobody has asked for long, and never for MongoDB's return.

        While `run` runs, what is known then is seconds old at most.
        """
        self._looked = self._clock()
        if self._rests:
            self._rests = False
            self._fresh.clear()
            self._wanted.set()
        await _wait(self._fresh, WAKE_S)

    async def run(self) -> None:
        """Refreshes until cancelled."""
        while True:
            self._wanted.clear()
            await _wait(self._wanted, await self._try_refresh())

    async def _try_refresh(self) -> float:
        """How long to pause after it."""
        try:
            await self.refresh()
        except PyMongoError as error:
            log.debug("Sites and access could not be read: %s", error)
            return RETRY_S
        finally:
            self._fresh.set()
        self._rests = self._clock() - self._looked > UNUSED_S
        return UNUSED_REFRESH_S if self._rests else REFRESH_S

    async def refresh(self) -> None:
        """Reads both once. Started without `pistats up`, the first start prints the password here."""
        access = await load_access(self._database)
        if access is None:
            password = await ensure_password(self._database)
            if password is not None:
                print(f"Dashboard password: {password}", flush=True)
            access = await load_access(self._database)
        self._sites = tuple(site.name for site in await SiteStore(self._database).list())
        shares = await ShareLinks(self._database).list()
        signed_out = await self._signed_out()
        self._access = access and replace(
            access, shares={share.share_id: share for share in shares}, signed_out=signed_out
        )

    async def _signed_out(self) -> frozenset[str]:
        ended, told = SignedOut(self._database), dict(self._ending)
        await ended.add(told)
        found = await ended.ids()
        for sign_in_id in told:
            self._ending.pop(sign_in_id, None)
        return found | self._ending.keys()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Returns when the event is set, or after the time-out."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()

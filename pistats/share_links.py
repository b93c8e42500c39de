"""Public read-only links to one site's pages. The link's token is shown once; only its SHA-256 is stored."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from pistats.clock import Clock, now_ms

TOKEN_BYTES = 24
"""Random bytes of a token: 192 bits, so that a plain hash protects it."""

MAX_LABEL_CHARS = 80
"""Enough to say whom a link is for."""


@dataclass(frozen=True, slots=True)
class ShareLink:
    """One link that counts. `share_id` is the hash of its token; `created_time` in Unix ms."""

    share_id: str
    site: str
    label: str
    created_time: int


class ShareLinks:
    """Every share link of this system, in the `shares` collection of its database."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        clock: Clock = now_ms,
        random: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._shares = database["shares"]
        self._clock = clock
        self._random = random

    async def add(self, site: str, label: str = "") -> tuple[str, ShareLink]:
        """A new token, in clear for the only time, and the link that it opens."""
        token = self._random(TOKEN_BYTES)
        link = ShareLink(hash_token(token), site, label.strip()[:MAX_LABEL_CHARS], self._clock())
        await self._shares.insert_one(
            {"_id": link.share_id, "site": link.site, "label": link.label, "created_time": link.created_time}
        )
        return token, link

    async def list(self, site: str | None = None) -> list[ShareLink]:
        """The links of a site, or of all, oldest first."""
        found = self._shares.find({} if site is None else {"site": site}).sort("created_time")
        return [
            ShareLink(document["_id"], document["site"], document["label"], document["created_time"])
            async for document in found
        ]

    async def revoke(self, share_id: str) -> bool:
        """The link opens nothing from now on, and whoever came by it is out within seconds. False: it was gone."""
        return (await self._shares.delete_one({"_id": share_id})).deleted_count == 1


def hash_token(token: str) -> str:
    """The form in which a token is stored and looked up: SHA-256, hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()

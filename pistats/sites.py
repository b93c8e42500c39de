"""The client sites: their names, time zones, keys and rules, in the `sites` collection of the system database.

Keys are random and shown once; only their SHA-256 is stored. A key is 192 random bits, so a plain hash protects it.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pistats.clock import Clock, now_ms
from pistats.errors import ConfigurationError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
"""As a host name is written: it becomes a folder of the warehouse and a part of document ids."""

HOST = re.compile(r"[a-z0-9._:-]+")
"""What a host name or address can be made of. A `*` would stand for nothing: origins are compared as they are."""

DEFAULT_PORTS = {"http": 80, "https": 443}
"""Browsers leave them out of an origin."""

KEY_BYTES = 24
"""Random bytes of a key: 32 characters that fit a script tag and cannot be guessed."""

MAX_KEEP_DAYS = 36_500
"""A century; whoever wants more keeps them for ever."""

WhichKey = Literal["both", "write", "read"]


@dataclass(frozen=True, slots=True)
class Site:
    """One client site. `created_time` in Unix ms. No `allowed_origins` means that every origin may send.

    `keep_days`: how long its events stay in the warehouse; None: for ever.
    """

    name: str
    timezone: str
    write_key_hash: str
    read_key_hash: str
    allowed_origins: tuple[str, ...]
    truncate_ip: bool
    created_time: int
    keep_days: int | None = None


@dataclass(frozen=True, slots=True)
class SiteKeys:
    """A site's new keys, in clear for the only time. None: this key was not changed."""

    site: str
    write_key: str | None
    read_key: str | None


class SiteStore:
    """Every site of this system. Reads see what a majority of the replica set holds."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        clock: Clock = now_ms,
        random: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._sites = database["sites"]
        self._clock = clock
        self._random = random

    async def add(
        self,
        name: str,
        timezone: str = "UTC",
        *,
        allowed_origins: Sequence[str] = (),
        truncate_ip: bool = True,
        keep_days: int | None = None,
    ) -> SiteKeys:
        """Store a new site and give its keys. Nothing changes when it raises.

        Raises ConfigurationError: the name, time zone, an origin or `keep_days` cannot be used, or the site exists.
        """
        keys = SiteKeys(check_name(name), self._new_key("pw"), self._new_key("pr"))
        document = {
            "_id": name,
            "timezone": check_timezone(timezone),
            "allowed_origins": [check_origin(origin) for origin in allowed_origins],
            "truncate_ip": truncate_ip,
            "keep_days": check_keep_days(keep_days),
            "created_time": datetime.fromtimestamp(self._clock() / 1000, UTC),
            **_hashes(keys),
        }
        try:
            await self._sites.insert_one(document)
        except DuplicateKeyError:
            raise ConfigurationError(
                f"A site called {name!r} exists. Its keys were shown when it was added; "
                f"`pistats site rotate-key {name}` makes new ones."
            ) from None
        return keys

    async def get(self, name: str) -> Site | None:
        """The site called `name`, or None."""
        return _site(await self._sites.find_one({"_id": name}))

    async def list(self) -> list[Site]:
        """Every site, by name."""
        return [site async for document in self._sites.find().sort("_id") if (site := _site(document))]

    async def by_write_key_hash(self, key_hash: str) -> Site | None:
        """The site that this write key may send to, or None."""
        return _site(await self._sites.find_one({"write_key_hash": key_hash}))

    async def by_read_key_hash(self, key_hash: str) -> Site | None:
        """The site that this read key may read, or None."""
        return _site(await self._sites.find_one({"read_key_hash": key_hash}))

    async def change(
        self, name: str, *, allowed_origins: Sequence[str], truncate_ip: bool, keep_days: int | None
    ) -> Site:
        """Replace the rules of a site; ingest follows within seconds. Its name and time zone are fixed.

        Raises ConfigurationError: an origin or `keep_days` cannot be used, or there is no such site.
        """
        rules = {
            "allowed_origins": [check_origin(origin) for origin in allowed_origins],
            "truncate_ip": truncate_ip,
            "keep_days": check_keep_days(keep_days),
        }
        changed = _site(
            await self._sites.find_one_and_update({"_id": name}, {"$set": rules}, return_document=ReturnDocument.AFTER)
        )
        if changed is None:
            raise ConfigurationError(f"There is no site called {name!r}: `pistats site list` shows the names.")
        return changed

    async def rotate_key(self, name: str, which: WhichKey = "both") -> SiteKeys:
        """Replace the keys of a site: the new ones are valid at once, the old ones no longer from here on.

        Whoever keeps sites in memory accepts the old key until its next refresh. Every call makes new keys.
        Raises ConfigurationError when there is no such site.
        """
        keys = SiteKeys(
            site=name,
            write_key=self._new_key("pw") if which in ("both", "write") else None,
            read_key=self._new_key("pr") if which in ("both", "read") else None,
        )
        changed = await self._sites.find_one_and_update(
            {"_id": name}, {"$set": _hashes(keys)}, return_document=ReturnDocument.AFTER
        )
        if changed is None:
            raise ConfigurationError(f"There is no site called {name!r}: `pistats site list` shows the names.")
        return keys

    def _new_key(self, prefix: str) -> str:
        return f"{prefix}_{self._random(KEY_BYTES)}"


def check_name(name: str) -> str:
    """`name`, if a site may have it; else ConfigurationError."""
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be a site's name: use 1 to 63 of a-z, 0-9, '.', '_' and '-', and begin with a letter "
            "or digit, such as example.com."
        )
    return name


def check_timezone(timezone: str) -> str:
    """`timezone`, if it is a name of the IANA data base; else ConfigurationError."""
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"{timezone!r} is no time zone that this machine knows: use an IANA name such as Europe/Berlin or UTC."
        ) from None
    return timezone


def check_origin(origin: str) -> str:
    """`origin` as browsers send it, so that it can be compared with what they send; else ConfigurationError.

    That is `https://example.com`: lower case, ASCII, a port only where it is not the scheme's own, no path.
    """
    try:
        parts = urlsplit(origin.strip().lower())
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:  # no number, or no host name
        parts, host, port = urlsplit(""), "", None
    more = parts.path.strip("/") or parts.path.count("/") > 1 or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in DEFAULT_PORTS or not HOST.fullmatch(host) or more:
        raise ConfigurationError(
            f"{origin!r} is no origin: write scheme and host, such as https://example.com, and every host by itself."
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}")


def check_keep_days(days: int | None) -> int | None:
    """`days`, if events can be kept that long; else ConfigurationError."""
    if days is not None and not 1 <= days <= MAX_KEEP_DAYS:
        raise ConfigurationError(f"Events cannot be kept for {days} days: choose 1 to {MAX_KEEP_DAYS}, or for ever.")
    return days


def hash_key(key: str) -> str:
    """The form in which a key is stored and looked up: SHA-256, hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def _hashes(keys: SiteKeys) -> dict[str, str]:
    hashes = {"write_key_hash": keys.write_key, "read_key_hash": keys.read_key}
    return {field: hash_key(key) for field, key in hashes.items() if key is not None}


def _site(document: dict[str, Any] | None) -> Site | None:
    if document is None:
        return None
    return Site(
        name=document["_id"],
        timezone=document["timezone"],
        write_key_hash=document["write_key_hash"],
        read_key_hash=document["read_key_hash"],
        allowed_origins=tuple(document["allowed_origins"]),
        truncate_ip=document["truncate_ip"],
        created_time=int(document["created_time"].timestamp() * 1000),
        keep_days=document.get("keep_days"),
    )

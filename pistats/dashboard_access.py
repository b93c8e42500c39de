"""Who may open the dashboard: passwords by role, stored as hashes, the share links, and the secret under sign-ins.

An admin may do everything. A viewer sees the numbers of every site and changes nothing.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pistats.clock import now_ms
from pistats.share_links import ShareLink

PasswordRole = Literal["admin", "viewer"]

ID = "dashboard"
COLLECTION = "settings"

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 letters that cannot be mistaken for one another, so that a password can be read aloud."""

GROUPS, GROUP_LETTERS = 4, 5
"""Twenty letters of 5 bits: 100 bits, out of reach of any guessing."""


@dataclass(frozen=True, slots=True)
class DashboardAccess:
    """What the gate needs to know. Without a viewer's password only admins have one."""

    password_hash: str
    cookie_secret: str
    viewer_password_hash: str | None = None
    shares: Mapping[str, ShareLink] = field(default_factory=dict)
    """The share links that count, by id."""
    signed_out: frozenset[str] = frozenset()
    """Ids of the sign-ins that somebody has ended before their time."""


async def ensure_password(db: AsyncDatabase[dict[str, Any]], clock: Callable[[], int] = now_ms) -> str | None:
    """The new password in clear, exactly once per system: at the first start. Afterwards None; it is stored hashed.

    `db` is the system's database. May be called again, also by two processes at once: one of them gets the password.
    """
    password = new_password()
    try:
        await db[COLLECTION].insert_one({"_id": ID, **_document(password, clock)})
    except DuplicateKeyError:
        return None
    return password


async def reset_password(
    db: AsyncDatabase[dict[str, Any]],
    password: str | None = None,
    clock: Callable[[], int] = now_ms,
    role: PasswordRole = "admin",
) -> str:
    """The password of a role that counts from now on.

    A new admin's password ends every sign-in, because the secret under the cookies changes too. A new viewer's
    password ends those of the viewers.
    """
    chosen = password or new_password()
    if role == "admin":
        await db[COLLECTION].update_one({"_id": ID}, {"$set": _document(chosen, clock)}, upsert=True)
    else:
        await ensure_password(db, clock)
        await db[COLLECTION].update_one({"_id": ID}, {"$set": {"viewer_password_hash": PasswordHasher().hash(chosen)}})
    return chosen


async def remove_viewer_password(db: AsyncDatabase[dict[str, Any]]) -> None:
    """No viewer can sign in by password from now on, and every such sign-in ends. May be repeated."""
    await db[COLLECTION].update_one({"_id": ID}, {"$unset": {"viewer_password_hash": ""}})


async def load_access(db: AsyncDatabase[dict[str, Any]]) -> DashboardAccess | None:
    """The stored access without the share links, or None before the first `ensure_password`."""
    document = await db[COLLECTION].find_one({"_id": ID})
    if document is None:
        return None
    return DashboardAccess(
        str(document["password_hash"]), str(document["cookie_secret"]), document.get("viewer_password_hash")
    )


class SignedOut:
    """The sign-ins that somebody has ended, in the `signed_out` collection, until they would have ended by themselves.

    So whoever has a copy of the cookie is out as well, of every dashboard of this system.
    """

    def __init__(self, db: AsyncDatabase[dict[str, Any]], clock: Callable[[], int] = now_ms) -> None:
        self._ended = db["signed_out"]
        self._clock = clock

    async def add(self, ends: Mapping[str, int]) -> None:
        """By id, when they would have ended (Unix ms). May be repeated."""
        for sign_in_id, expires_time in ends.items():
            until = {"expires_at": datetime.fromtimestamp(expires_time / 1000, UTC)}
            await self._ended.update_one({"_id": sign_in_id}, {"$set": until}, upsert=True)

    async def ids(self) -> frozenset[str]:
        """Those that still matter. Forgets the others."""
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        await self._ended.delete_many({"expires_at": {"$lt": now}})
        return frozenset([str(one["_id"]) async for one in self._ended.find({}, {"_id": 1})])


def role_of_password(access: DashboardAccess, password: str) -> PasswordRole | None:
    """The role that the password opens. Takes 50 to 100 ms and 64 MiB on purpose; run it in a thread, few at a time."""
    if _verified(access.password_hash, password):
        return "admin"
    viewers = access.viewer_password_hash
    return "viewer" if viewers is not None and _verified(viewers, password) else None


def _verified(password_hash: str, password: str) -> bool:
    try:
        return bool(PasswordHasher().verify(password_hash, password))
    except (VerificationError, InvalidHashError):
        return False


def new_password() -> str:
    """A random password such as `k3pxa-7mwqz-…`, made for reading and typing."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LETTERS)) for _ in range(GROUPS))
    return "-".join(groups)


def _document(password: str, clock: Callable[[], int]) -> dict[str, Any]:
    return {
        "password_hash": PasswordHasher().hash(password),
        "cookie_secret": secrets.token_hex(32),
        "changed_time": clock(),
    }

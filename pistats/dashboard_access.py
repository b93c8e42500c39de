"""Who may open the dashboard: one password, stored as a hash, and the secret that signs sign-ins."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pistats.clock import now_ms

ID = "dashboard"
COLLECTION = "settings"

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 letters that cannot be mistaken for one another, so that a password can be read aloud."""

GROUPS, GROUP_LETTERS = 4, 5
"""Twenty letters of 5 bits: 100 bits, out of reach of any guessing."""


@dataclass(frozen=True, slots=True)
class DashboardAccess:
    """What the gate needs to know: the password's hash and the secret under every cookie."""

    password_hash: str
    cookie_secret: str


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
    db: AsyncDatabase[dict[str, Any]], password: str | None = None, clock: Callable[[], int] = now_ms
) -> str:
    """The password that counts from now on. Every sign-in ends, because the secret under the cookies changes too."""
    chosen = password or new_password()
    await db[COLLECTION].replace_one({"_id": ID}, _document(chosen, clock), upsert=True)
    return chosen


async def load_access(db: AsyncDatabase[dict[str, Any]]) -> DashboardAccess | None:
    """The stored access, or None before the first `ensure_password`."""
    document = await db[COLLECTION].find_one({"_id": ID})
    if document is None:
        return None
    return DashboardAccess(str(document["password_hash"]), str(document["cookie_secret"]))


def verify_password(access: DashboardAccess, password: str) -> bool:
    """True for the right password. Takes about 50 ms and 64 MiB on purpose; run it in a thread, few at a time."""
    try:
        return bool(PasswordHasher().verify(access.password_hash, password))
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

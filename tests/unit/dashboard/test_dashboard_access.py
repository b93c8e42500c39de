"""The stored password: given once, kept as a hash, replaceable."""

import asyncio
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from pistats.dashboard_access import ensure_password, load_access, reset_password, verify_password

Database = AsyncDatabase[dict[str, Any]]


async def test_the_password_is_given_once_and_stored_hashed(database: Database) -> None:
    assert await load_access(database) is None
    given = await asyncio.gather(*(ensure_password(database) for _ in range(4)))
    passwords = [password for password in given if password is not None]
    assert len(passwords) == 1
    assert await ensure_password(database) is None
    stored = await database.settings.find_one({"_id": "dashboard"})
    assert passwords[0] not in str(stored)
    access = await load_access(database)
    assert access is not None
    assert verify_password(access, passwords[0])
    assert not verify_password(access, passwords[0] + "x")
    assert not verify_password(access, "")


async def test_a_reset_changes_the_password_and_the_secret_under_the_cookies(database: Database) -> None:
    first = await ensure_password(database)
    before = await load_access(database)
    second = await reset_password(database)
    after = await load_access(database)
    assert before is not None
    assert after is not None
    assert first is not None
    assert verify_password(after, second)
    assert not verify_password(after, first)
    assert before.cookie_secret != after.cookie_secret

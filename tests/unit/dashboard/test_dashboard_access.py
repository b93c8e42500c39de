"""The stored password: given once, kept as a hash, replaceable."""

import asyncio
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from dashboard.keeper import Keeper
from pistats.clock import now_ms
from pistats.dashboard_access import (
    SignedOut,
    ensure_password,
    load_access,
    remove_viewer_password,
    reset_password,
    role_of_password,
)
from pistats.share_links import ShareLinks, hash_token

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
    assert role_of_password(access, passwords[0])
    assert not role_of_password(access, passwords[0] + "x")
    assert not role_of_password(access, "")


async def test_a_reset_changes_the_password_and_the_secret_under_the_cookies(database: Database) -> None:
    first = await ensure_password(database)
    before = await load_access(database)
    second = await reset_password(database)
    after = await load_access(database)
    assert before is not None
    assert after is not None
    assert first is not None
    assert role_of_password(after, second)
    assert not role_of_password(after, first)
    assert before.cookie_secret != after.cookie_secret


async def test_a_viewers_password_is_optional_and_opens_less(database: Database) -> None:
    admin = await ensure_password(database)
    viewer = await reset_password(database, role="viewer")
    access = await load_access(database)
    assert access is not None
    assert admin is not None
    assert role_of_password(access, viewer) == "viewer"
    assert role_of_password(access, admin) == "admin"
    await remove_viewer_password(database)
    after = await load_access(database)
    assert after is not None
    assert role_of_password(after, viewer) is None
    assert after.cookie_secret == access.cookie_secret


async def test_a_new_admin_password_keeps_the_viewers(database: Database) -> None:
    viewer = await reset_password(database, role="viewer")
    await reset_password(database)
    access = await load_access(database)
    assert access is not None
    assert role_of_password(access, viewer) == "viewer"


async def test_a_share_link_is_stored_hashed_and_can_be_revoked(database: Database) -> None:
    links = ShareLinks(database)
    token, link = await links.add("shop.example", " for the board ")
    await links.add("news.example")
    assert link.share_id == hash_token(token)
    assert token not in str(await database.shares.find().to_list())
    assert [one.label for one in await links.list("shop.example")] == ["for the board"]
    assert len(await links.list()) == 2
    assert await links.revoke(link.share_id)
    assert not await links.revoke(link.share_id)
    assert await links.list("shop.example") == []


async def test_who_has_signed_out_is_out_of_every_dashboard_until_the_sign_in_would_have_ended(
    database: Database,
) -> None:
    await ensure_password(database)
    here, elsewhere = Keeper(database), Keeper(database)
    await here.refresh()
    now = now_ms()
    await here.end("mine", now + 60_000)
    await here.refresh()
    await elsewhere.refresh()
    for keeper in (here, elsewhere):
        assert keeper.access is not None
        assert keeper.access.signed_out == {"mine"}
    assert await SignedOut(database, lambda: now + 61_000).ids() == frozenset()
    assert await database.signed_out.count_documents({}) == 0

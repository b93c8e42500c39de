"""Sites in a real MongoDB: added once, found by key, keys rotated."""

from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.errors import ConfigurationError
from pistats.mongo.indexes import ensure_system_indexes
from pistats.sites import SiteStore, check_origin, hash_key

CREATED = 1_700_000_000_123


@pytest.fixture
async def sites(database: AsyncDatabase[dict[str, Any]]) -> SiteStore:
    await ensure_system_indexes(database)
    await ensure_system_indexes(database)
    return SiteStore(database, clock=lambda: CREATED)


async def test_a_site_is_found_by_its_name_and_by_its_keys(sites: SiteStore) -> None:
    keys = await sites.add("example.com", "Europe/Berlin", allowed_origins=["https://Example.com/"], truncate_ip=False)

    site = await sites.get("example.com")
    assert site is not None
    assert (site.timezone, site.allowed_origins, site.truncate_ip) == ("Europe/Berlin", ("https://example.com",), False)
    assert site.created_time == CREATED
    assert keys.write_key is not None
    assert keys.read_key is not None
    assert keys.write_key.startswith("pw_")
    assert keys.read_key.startswith("pr_")
    assert await sites.by_write_key_hash(hash_key(keys.write_key)) == site
    assert await sites.by_read_key_hash(hash_key(keys.read_key)) == site
    assert await sites.by_write_key_hash(hash_key(keys.read_key)) is None


async def test_keys_are_stored_as_hashes_only(sites: SiteStore, database: AsyncDatabase[dict[str, Any]]) -> None:
    keys = await sites.add("demo")
    stored = str(await database["sites"].find_one())
    assert str(keys.write_key) not in stored
    assert str(keys.read_key) not in stored


async def test_a_second_site_of_the_same_name_is_refused_and_changes_nothing(sites: SiteStore) -> None:
    await sites.add("demo", "Asia/Kolkata")
    before = await sites.list()
    with pytest.raises(ConfigurationError, match="site rotate-key demo"):
        await sites.add("demo", "UTC")
    assert await sites.list() == before


async def test_sites_are_listed_by_name(sites: SiteStore) -> None:
    for name in ("b", "a", "c"):
        await sites.add(name)
    assert [site.name for site in await sites.list()] == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["", "Ä", "UPPER", "a b", "../etc", ".hidden", "a" * 64, "x\n"])
async def test_a_name_that_cannot_be_used_is_refused(sites: SiteStore, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a site's name"):
        await sites.add(name)


@pytest.mark.parametrize("timezone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime"])
async def test_an_unknown_time_zone_is_refused(sites: SiteStore, timezone: str) -> None:
    with pytest.raises(ConfigurationError, match="Europe/Berlin"):
        await sites.add("demo", timezone)
    assert await sites.list() == []


async def test_what_no_browser_would_send_as_an_origin_is_refused(sites: SiteStore) -> None:
    for origin in (
        *("example.com", "https://", "ftp://example.com", "https://example.com/path", "https://example.com/#a"),
        *("https://*.example.com", "*", "null", "https://a:b@example.com", "https://example.com:99999", "https://["),
    ):
        with pytest.raises(ConfigurationError, match="is no origin"):
            await sites.add("demo", allowed_origins=[origin])
    assert await sites.list() == []


def test_an_origin_is_kept_as_browsers_send_it() -> None:
    written = ("https://Example.com:443/", "http://example.com:8080", "https://müller.example", "http://[::1]:80")
    sent = ["https://example.com", "http://example.com:8080", "https://xn--mller-kva.example", "http://[::1]"]
    assert [check_origin(origin) for origin in written] == sent


async def test_rotation_replaces_both_keys_at_once(sites: SiteStore) -> None:
    old = await sites.add("demo")
    new = await sites.rotate_key("demo")
    assert await sites.by_write_key_hash(hash_key(str(old.write_key))) is None
    assert await sites.by_read_key_hash(hash_key(str(old.read_key))) is None
    assert await sites.by_write_key_hash(hash_key(str(new.write_key))) == await sites.get("demo")


async def test_one_key_can_be_rotated_alone(sites: SiteStore) -> None:
    old = await sites.add("demo")
    new = await sites.rotate_key("demo", which="read")
    assert new.write_key is None
    assert await sites.by_write_key_hash(hash_key(str(old.write_key))) is not None
    assert await sites.by_read_key_hash(hash_key(str(old.read_key))) is None


async def test_rotating_an_unknown_site_says_so(sites: SiteStore) -> None:
    with pytest.raises(ConfigurationError, match="no site called 'nobody'"):
        await sites.rotate_key("nobody")


async def test_the_rules_of_a_site_can_be_changed(sites: SiteStore) -> None:
    keys = await sites.add("demo", keep_days=30)
    changed = await sites.change("demo", allowed_origins=["https://Demo.example/"], truncate_ip=False, keep_days=365)
    assert (changed.allowed_origins, changed.truncate_ip, changed.keep_days) == (("https://demo.example",), False, 365)
    assert await sites.by_write_key_hash(hash_key(str(keys.write_key))) == changed


async def test_a_change_that_cannot_be_used_changes_nothing(sites: SiteStore) -> None:
    await sites.add("demo", keep_days=30)
    for rules in ({"keep_days": 0}, {"keep_days": 40_000}, {"allowed_origins": ["demo"]}):
        with pytest.raises(ConfigurationError):
            await sites.change("demo", **{"allowed_origins": (), "truncate_ip": True, "keep_days": None, **rules})  # type: ignore[arg-type]
    kept = await sites.get("demo")
    assert kept is not None
    assert kept.keep_days == 30
    with pytest.raises(ConfigurationError, match="no site called 'nobody'"):
        await sites.change("nobody", allowed_origins=(), truncate_ip=True, keep_days=None)

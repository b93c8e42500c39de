"""The vendored list of senders is well formed, and hosts are told apart as their owners mean them."""

import orjson
import pytest

from pistats.enrich.domains import Domains
from pistats.enrich.referrers import DATA, KINDS, Referrers

LISTS = orjson.loads(DATA.read_bytes())


@pytest.fixture(scope="module")
def referrers() -> Referrers:
    return Referrers.standard(Domains())


def test_kinds_are_the_known_ones() -> None:
    assert set(LISTS) == set(KINDS)


def test_hosts_are_plain_and_listed_once() -> None:
    hosts = [host for senders in LISTS.values() for entry in senders.values() for host in entry["hosts"]]

    assert len(hosts) == len(set(hosts))
    assert [host for host in hosts if "/" in host or " " in host or host.startswith("www.")] == []


@pytest.mark.parametrize(
    ("host", "name", "kind"),
    [
        ("www.google.com", "Google", "search"),
        ("google.com.br", "Google", "search"),
        ("uk.search.yahoo.com", "Yahoo!", "search"),
        ("gemini.google.com", "Gemini", "ai"),
        ("copilot.microsoft.com", "Copilot", "ai"),
        ("www.perplexity.ai", "Perplexity", "ai"),
        ("lm.facebook.com", "Facebook", "social"),
        ("old.reddit.com", "Reddit", "social"),
        ("t.co", "X", "social"),
        ("m.youtube.com", "YouTube", "video"),
        ("www.amazon.co.uk", "Amazon", "shopping"),
        ("mail.google.com", "Gmail", "mail"),
        ("com.google.android.googlequicksearchbox", "Google", "search"),
    ],
)
def test_known_hosts(referrers: Referrers, host: str, name: str, kind: str) -> None:
    known = referrers.by_host(host)

    assert known is not None
    assert (known.name, known.kind) == (name, kind)


@pytest.mark.parametrize(
    "host",
    ["docs.google.com", "google.example.com", "google.blogspot.com", "notfacebook.com", "192.168.1.1", "::1", "x", ""],
)
def test_unknown_hosts(referrers: Referrers, host: str) -> None:
    assert referrers.by_host(host) is None


@pytest.mark.parametrize(("tag", "name"), [("fb", "Facebook"), ("GOOGLE", "Google"), ("l.instagram.com", "Instagram")])
def test_names_as_people_tag_them(referrers: Referrers, tag: str, name: str) -> None:
    known = referrers.by_name(tag)

    assert known is not None
    assert known.name == name

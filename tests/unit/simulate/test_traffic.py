"""The simulated stream: the same for the same seed, and shaped like a site's."""

from collections import Counter, defaultdict
from ipaddress import ip_address
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pistats.demo_site.catalogue import BY_PATH, SECTIONS
from pistats.simulate.sessions import MEAN_EVENTS
from pistats.simulate.traffic import Traffic
from pistats.simulate.trends import CALM_MS, PEAK_SHARE, RISE_MS, Trends

Event = dict[str, Any]


def stream(seed: int, count: int, *, rate: float = 100.0, visitors: int = 5_000) -> list[Event]:
    traffic = Traffic(Random(seed), rate=rate, visitors=visitors, site_url="https://meridian.example")
    return [traffic.next_event() for _ in range(count)]


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return stream(1, 30_000)


def test_the_same_seed_gives_the_same_stream() -> None:
    assert stream(7, 2_000) == stream(7, 2_000)
    assert stream(7, 2_000) != stream(8, 2_000)


def test_every_page_is_one_of_the_demo_site(events: list[Event]) -> None:
    paths = {urlsplit(event["url"]).path for event in events}
    assert paths <= {"/", *(f"/{section}" for section in SECTIONS), *BY_PATH}
    assert len(paths) > 40


def test_few_pages_get_most_views(events: list[Event]) -> None:
    views = Counter(urlsplit(event["url"]).path for event in events if event["name"] == "page_view").most_common()
    assert sum(count for _, count in views[:9]) > 0.4 * sum(count for _, count in views)


def test_every_kind_of_event_source_and_device_is_there(events: list[Event]) -> None:
    names = {event["name"] for event in events}
    assert names == {"page_view", "engagement", "share", "search", "outbound_click", "subscribe", "purchase"}
    hosts = {urlsplit(event.get("referrer", "")).hostname for event in events}
    assert {"www.google.com", "t.co", "chatgpt.com", "meridian.example", None} <= hosts
    mediums = {medium for event in events for medium in parse_qs(urlsplit(event["url"]).query).get("utm_medium", [])}
    assert mediums == {"email", "cpc", "paid_social"}
    agents = " ".join({event["user_agent"] for event in events})
    assert all(word in agents for word in ("iPhone", "iPad", "Windows NT", "Android", "Googlebot"))


def test_a_visitor_stays_who_he_is_and_comes_back(events: list[Event]) -> None:
    traits: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for event in events:
        traits[event["visitor_id"]].add((event["ip"], event["user_agent"], event["screen"], event["language"]))
    assert all(len(values) == 1 for values in traits.values())
    assert all(ip_address(event["ip"]).is_global for event in events)
    landings = Counter(
        e["visitor_id"] for e in events if e["name"] == "page_view" and "meridian" not in e.get("referrer", "")
    )
    assert max(landings.values()) > 1


def test_no_more_visitors_than_asked_for() -> None:
    assert len({event["visitor_id"] for event in stream(3, 5_000, visitors=25)}) == 25


def test_sessions_have_the_mean_length_that_the_rate_is_built_on() -> None:
    traffic = Traffic(Random(5), rate=1_000, visitors=10**6, site_url="https://meridian.example")
    for _ in range(150_000):
        traffic.next_event()
    before = traffic.now_ms
    for _ in range(50_000):
        traffic.next_event()
    rate = 50_000 / (traffic.now_ms - before) * 1_000
    assert 850 < rate < 1_150, f"simulated time and real time drift apart: {rate} events/s, {MEAN_EVENTS=}"


def test_one_topic_rises_after_a_calm_start() -> None:
    trends = Trends(Random(1))
    assert trends.at(CALM_MS / 2)[1] == 0
    topic, peak = trends.at(CALM_MS + RISE_MS)
    assert peak == PEAK_SHARE
    assert trends.at(CALM_MS + RISE_MS / 2) == (topic, PEAK_SHARE / 2)

    events = stream(1, 40_000)
    topics = [
        event["properties"]["topic"] for event in events if event["name"] == "page_view" and event.get("properties")
    ]
    early, late = Counter(topics[: len(topics) // 10]), Counter(topics[-len(topics) // 3 :])
    hot, count = late.most_common(1)[0]
    assert count / late.total() > 0.3
    assert count / late.total() > 2 * early[hot] / early.total()

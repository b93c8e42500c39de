"""An erased visitor's events leave the feed; everybody else's stay, in order."""

from pistats.live.feed import LiveFeed
from tests.warehouse_events import NOON, SITE, some_events

LATER = NOON + 1_000_000


def test_an_erased_visitor_leaves_the_stored_feed() -> None:
    before = LiveFeed(0, keep_events=20)
    before.fold(some_events(14))
    (stored,) = before.documents()
    feed = LiveFeed(0, keep_events=20)
    assert feed.missing_of({SITE, "other"}) == [{"site": SITE, "partition": 0}, {"site": "other", "partition": 0}]
    feed.load([stored])

    feed.erase(SITE, "visitor-3", LATER)
    feed.erase("other", "visitor-4", LATER)

    (document,) = feed.documents()
    assert [event["event_id"] for event in document["events"]] == [
        event["event_id"] for event in stored["events"] if event["visitor_id"] != "visitor-3"
    ]


def test_a_feed_without_the_visitor_is_not_written() -> None:
    feed = LiveFeed(0)
    feed.fold(some_events(3))
    feed.committed()

    feed.erase(SITE, "nobody", LATER)

    assert feed.documents() == []


def test_what_happened_after_the_erasure_stays() -> None:
    feed = LiveFeed(0)
    feed.fold(some_events(14))  # visitor-3 is the one of the events 3 and 10, a second apart each

    feed.erase(SITE, "visitor-3", NOON + 3_000)

    (document,) = feed.documents()
    times = [event["event_time"] for event in document["events"] if event["visitor_id"] == "visitor-3"]
    assert times == [NOON + 10_000]

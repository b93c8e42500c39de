"""What a snapshot says: who is here now, what rises, and how old the numbers are."""

from datetime import UTC, datetime
from typing import Any

from pistats.live import LiveBuckets, LiveView
from pistats.live.bucket import MINUTE_MS
from tests.table_events import an_event

MINUTE = 1_764_000_000_000 // MINUTE_MS * MINUTE_MS
NOW = MINUTE + 30_000


def event(age_ms: int = 0, **changes: Any) -> dict[str, Any]:
    return an_event(0, **{"event_time": NOW - age_ms, "received_time": NOW, "path": "/", **changes})


def view_of(*events: dict[str, Any]) -> LiveView:
    buckets = LiveBuckets(0)
    buckets.fold(events)
    view = LiveView()
    for document in buckets.documents():
        view.apply("minutes", document)
    return view


def topic(name: str, visitor: int, age_ms: int) -> dict[str, Any]:
    return event(age_ms, visitor_id=str(visitor), properties={"topic": name})


def test_an_unknown_site_has_zeros_and_every_key() -> None:
    snapshot = LiveView().snapshot("nobody", NOW)

    assert snapshot["current_visitors_5m"] == snapshot["visitors_30m"] == 0
    assert len(snapshot["views_per_minute"]) == 30
    assert snapshot["views_per_minute"][-1] == {"minute": "2025-11-24T16:00:00.000Z", "views": 0, "visitors": 0}
    assert snapshot["status"] == "starting"
    assert snapshot["as_of"] == "2025-11-24T16:00:30.000Z"


def test_a_visitor_counts_for_five_minutes_and_for_thirty_to_ten_seconds() -> None:
    view = view_of(event(0, visitor_id="a"), event(0, visitor_id="b", name="engagement"))

    def counts(later_ms: int) -> tuple[int, int]:
        snapshot = view.snapshot("news", NOW + later_ms)
        return snapshot["current_visitors_5m"], snapshot["visitors_30m"]

    assert counts(0) == (2, 2)
    assert counts(5 * 60_000 - 1) == (2, 2)
    assert counts(5 * 60_000 + 10_000) == (0, 2)
    assert counts(30 * 60_000 - 1) == (0, 2)
    assert counts(30 * 60_000 + 10_000) == (0, 0)
    assert counts(0) == (2, 2)


def test_bots_are_counted_and_kept_out_of_the_numbers() -> None:
    snapshot = view_of(event(is_bot=True), event(visitor_id="a")).snapshot("news", NOW)

    assert snapshot["bots_30m"] == 1
    assert snapshot["current_visitors_5m"] == 1
    assert snapshot["top_pages"] == [{"path": "/", "views": 1, "visitors": 1}]


def test_sources_count_arrivals_only() -> None:
    snapshot = view_of(
        event(channel="Direct"), event(channel="Organic Search", source="Google"), event(path="/next")
    ).snapshot("news", NOW)

    assert {row["source"] for row in snapshot["sources"]} == {"Direct", "Google"}
    assert [row["path"] for row in snapshot["entry_pages"]] == ["/"]


def test_custom_events_stand_beside_views() -> None:
    snapshot = view_of(event(), event(name="purchase"), event(name="engagement")).snapshot("news", NOW)

    assert snapshot["events"] == [{"event": "purchase", "count": 1, "visitors": 1}]
    assert snapshot["views_per_minute"][-1]["views"] == 1


def test_a_topic_that_rises_above_its_past_is_trending() -> None:
    past = [topic(name, n, 12 * MINUTE_MS + n * 30_000) for name in ("steady", "rising") for n in range(20)]
    now = [topic("steady", n, n * 10_000) for n in range(20)] + [topic("rising", n, n * 5_000) for n in range(90)]
    fresh = [topic("fresh", n, n * 1_000) for n in range(12)]

    rows = view_of(*past, *now, *fresh).snapshot("news", NOW)["trending"]

    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    by_topic = {row["topic"]: row for row in rows}
    assert by_topic["fresh"]["new"]
    assert by_topic["fresh"]["count"] == 12
    assert by_topic["rising"]["score"] > 2
    assert not by_topic["rising"]["new"]
    assert "steady" not in by_topic


def test_the_same_hour_a_week_ago_explains_a_topic_when_it_is_known() -> None:
    week_ms = 7 * 24 * 60 * MINUTE_MS
    buckets = LiveBuckets(0)
    last_week = [topic("weekly", n, n * 20_000) for n in range(40)] + [
        topic("weekly", n, -n * 20_000) for n in range(40)
    ]
    for item in last_week:
        item["event_time"] -= week_ms
        item["received_time"] -= week_ms
    now = [topic("weekly", n, n * 30_000) for n in range(15)] + [topic("other", n, n * 30_000) for n in range(15)]
    buckets.fold([*last_week, *now])

    view = LiveView()
    first, week_ago = view.reads(NOW)
    for document in buckets.documents():
        minute = document["_id"]["minute"]
        assert first[0] <= minute <= first[1] or week_ago[0] <= minute <= week_ago[1]
        view.apply("minutes", document)

    trends = {row["topic"]: row for row in view.snapshot("news", NOW)["trending"]}
    assert trends["other"]["new"]
    assert trends.get("weekly", {"new": False})["new"] is False
    assert trends.get("weekly", {"score": 0.0})["score"] < 0.6 * trends["other"]["score"]


def test_one_reader_who_reloads_is_no_trend() -> None:
    assert view_of(*[topic("mine", 1, n * 1_000) for n in range(50)]).snapshot("news", NOW)["trending"] == []


def test_lag_and_status_follow_the_slowest_partition() -> None:
    view = LiveView()
    view.apply("partitions", {"_id": 0, "caught_up": True, "checked_at": date(NOW - 1_000), "append_time": 5})
    assert (view.snapshot("news", NOW)["lag_s"], view.snapshot("news", NOW)["status"]) == (0.0, "live")

    view.apply("partitions", {"_id": 1, "caught_up": False, "checked_at": date(NOW), "append_time": NOW - 2_500})
    assert (view.snapshot("news", NOW)["lag_s"], view.snapshot("news", NOW)["status"]) == (2.5, "live")

    later = view.snapshot("news", NOW + 60_000)
    assert (later["lag_s"], later["status"]) == (62.5, "stale")


def test_the_feed_is_newest_first_over_all_partitions() -> None:
    view = LiveView()
    for partition, times in ((0, (1, 4)), (1, (2, 3))):
        events = [{"event_id": str(time), "event_time": time} for time in times]
        view.apply("feed", {"_id": {"site": "news", "partition": partition}, "events": events})

    assert [row["event_time"] for row in view.snapshot("news", NOW)["feed"]] == [4, 3, 2, 1]


def test_a_long_run_keeps_only_what_it_shows() -> None:
    view = LiveView()
    for minute in range(400):
        buckets = LiveBuckets(0)
        buckets.fold([event(-minute * MINUTE_MS, received_time=NOW + minute * MINUTE_MS)])
        for document in buckets.documents():
            view.apply("minutes", document)

    (window,) = view._sites.values()
    assert len(window._minutes) <= 32
    assert len(window._topics) <= 151


def test_an_event_that_came_a_day_late_touches_no_minute() -> None:
    buckets = LiveBuckets(0)

    assert buckets.fold([event(25 * 3_600_000)]) == set()
    assert buckets.missing([event(25 * 3_600_000)]) == []


def date(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)

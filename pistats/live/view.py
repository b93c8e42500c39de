"""The live numbers of all sites, from the documents that the consumers commit."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pistats.live.bucket import (
    BROWSERS,
    CHANNELS,
    COUNTRIES,
    DEVICES,
    ENTRY_PAGES,
    EVENTS,
    MINUTE_MS,
    PAGES,
    SECTIONS,
    SOURCES,
)
from pistats.live.window import HELD_MINUTES, SHOWN_MINUTES, TREND_MINUTES, SiteWindow, StoredMinute, ranges

TOP_ROWS = 10

COUNTRY_ROWS = 50
"""More of countries: they are drawn on a map, where what is missing looks like nobody."""

FEED_EVENTS = 20

CURRENT_MS = 5 * 60_000
RECENT_MS = 30 * 60_000

STALE_AFTER_S = 15.0
"""A lag above this is not live any more: a dead consumer is replaced within 15 s."""

IDLE_AFTER_S = 5.0
"""A partition that was caught up is taken to be so still, this long after the last look."""

PANELS: tuple[tuple[str, str, str, str], ...] = (
    ("top_pages", PAGES, "path", "views"),
    ("entry_pages", ENTRY_PAGES, "path", "views"),
    ("sections", SECTIONS, "section", "views"),
    ("sources", SOURCES, "source", "views"),
    ("channels", CHANNELS, "channel", "views"),
    ("countries", COUNTRIES, "country", "views"),
    ("devices", DEVICES, "device", "views"),
    ("browsers", BROWSERS, "browser", "views"),
    ("events", EVENTS, "event", "count"),
)
"""Key in the snapshot, dimension, name of the value, name of the count."""


class LiveView:
    """Answers `snapshot(site, now_ms)` from memory. Fed in any order; a document replaces its predecessor.

    One thread. Read once: `minutes` back to `now − READ_BACK_MS`, all of `feed` and `partitions`; then follow changes.
    Trending also compares with last week when it has it: read `reads(now_ms)` instead, its second range every hour.
    """

    READ_BACK_MS = (TREND_MINUTES + 1) * MINUTE_MS
    """What is of use without last week. Less (at least 31 minutes) leaves trending with a shorter memory only."""

    def __init__(self) -> None:
        self._sites: dict[str, SiteWindow] = {}
        self._feeds: dict[str, dict[int, list[dict[str, Any]]]] = {}
        self._partitions: dict[int, dict[str, Any]] = {}
        self._newest = 0
        self._apply: dict[str, Callable[[dict[str, Any]], None]] = {
            "minutes": self._apply_minute,
            "feed": self._apply_feed,
            "partitions": self._apply_partition,
        }

    @staticmethod
    def reads(now_ms: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Ranges of `_id.minute`, both ends included: the recent past, then this hour and the next, a week ago."""
        recent, week_ago = ranges(now_ms - now_ms % MINUTE_MS)
        return (recent[0], recent[1] + MINUTE_MS), week_ago

    def apply(self, kind: str, document: dict[str, Any]) -> None:
        """Takes up one whole document of the collection `kind`; other kinds are ignored."""
        apply = self._apply.get(kind)
        if apply is not None:
            apply(document)

    def _apply_minute(self, document: dict[str, Any]) -> None:
        key = document["_id"]
        minute = key["minute"]
        (recent, _), (from_week, to_week) = ranges(self._newest)
        if minute < recent and not from_week <= minute <= to_week:
            return
        window = self._sites.get(key["site"])
        if window is None:
            window = self._sites[key["site"]] = SiteWindow()
        stored = StoredMinute(document)
        if minute < self._newest - HELD_MINUTES * MINUTE_MS:
            window.apply_topics(minute, key["partition"], stored)
        else:
            window.apply(minute, key["partition"], stored)
        if minute > self._newest:
            self._newest = minute
            for each in self._sites.values():
                each.forget(minute)

    def _apply_feed(self, document: dict[str, Any]) -> None:
        key = document["_id"]
        self._feeds.setdefault(key["site"], {})[key["partition"]] = document["events"]

    def _apply_partition(self, document: dict[str, Any]) -> None:
        self._partitions[document["_id"]] = document

    def snapshot(self, site: str, now_ms: int) -> dict[str, Any]:
        """The live numbers of a site at `now_ms`, as `GET /api/v1/live` answers them. Plain JSON values.

        Numbers fall as `now_ms` moves on, without any document arriving. An unknown site has zeros.
        """
        window = self._sites.get(site) or SiteWindow()
        window.move(now_ms)
        lag_s = self._lag_s(now_ms)
        shown: dict[str, Any] = {
            "as_of": iso(now_ms),
            "current_visitors_5m": window.visitors_since(now_ms - CURRENT_MS),
            "visitors_30m": window.visitors_since(now_ms - RECENT_MS),
            "views_per_minute": _views_per_minute(window, now_ms),
            "trending": [
                {
                    "topic": trend.topic,
                    "score": trend.score,
                    "count": trend.count,
                    "expected": trend.expected,
                    "new": trend.new,
                }
                for trend in window.trends(now_ms)[:TOP_ROWS]
            ],
        }
        for panel, dimension, value_name, count_name in PANELS:
            shown[panel] = [
                {value_name: value, count_name: count, "visitors": visitors}
                for value, count, visitors in window.top(
                    dimension, COUNTRY_ROWS if dimension == COUNTRIES else TOP_ROWS
                )
            ]
        shown["bots_30m"] = window.bots()
        shown["feed"] = self._feed(site)
        shown["lag_s"] = lag_s
        shown["status"] = _status(lag_s)
        shown["warnings"] = _warnings(window)
        return shown

    def _feed(self, site: str) -> list[dict[str, Any]]:
        """Recent events of all partitions, newest first."""
        events = [event for partition in self._feeds.get(site, {}).values() for event in partition]
        events.sort(key=lambda event: (event["event_time"], event["event_id"]), reverse=True)
        return events[:FEED_EVENTS]

    def _lag_s(self, now_ms: int) -> float | None:
        """Age of the oldest event that may not be counted yet, over all partitions; None before any consumer ran."""
        lags = [
            lag for document in self._partitions.values() if (lag := _partition_lag_s(document, now_ms)) is not None
        ]
        return max(lags) if lags else None


def iso(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _views_per_minute(window: SiteWindow, now_ms: int) -> list[dict[str, Any]]:
    minute = now_ms - now_ms % MINUTE_MS
    rows = []
    for start in range(minute - (SHOWN_MINUTES - 1) * MINUTE_MS, minute + MINUTE_MS, MINUTE_MS):
        views, visitors = window.totals(start)
        rows.append({"minute": iso(start), "views": views, "visitors": visitors})
    return rows


def _partition_lag_s(document: dict[str, Any], now_ms: int) -> float | None:
    """Caught up when last looked at: the time since that look, beyond the usual pause. Else the last event's age."""
    checked = _ms(document.get("checked_at"))
    if document.get("caught_up") and checked is not None:
        silence = (now_ms - checked) / 1000
        return round(silence, 1) if silence > IDLE_AFTER_S else 0.0
    consumed = _ms(document.get("append_time"))
    return None if consumed is None else round(max(0.0, (now_ms - consumed) / 1000), 1)


def _ms(value: Any) -> int | None:
    """Unix ms of a stored time, which is a number or a date."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return int(aware.timestamp() * 1000)
    return value if isinstance(value, int) else None


def _status(lag_s: float | None) -> str:
    """`starting` before any consumer ran, `live`, or `stale` when the numbers have fallen behind."""
    if lag_s is None:
        return "starting"
    return "live" if lag_s <= STALE_AFTER_S else "stale"


def _warnings(window: SiteWindow) -> list[str]:
    warnings = [
        f"More different {dimension.replace('_', ' ')} in a minute than are kept apart: the rest is counted as (other)."
        for dimension in window.capped()
    ]
    if window.full():
        warnings.append("A very busy minute: the visitors of its rarer pages and values are counted too low.")
    return warnings

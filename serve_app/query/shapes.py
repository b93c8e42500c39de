"""The answers of the query API as its OpenAPI document describes them. Names are those of `INTERFACE.md`."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    model_config = ConfigDict(extra="allow")


class MinuteViews(Shape):
    minute: str
    views: int
    visitors: int


class TopPage(Shape):
    path: str
    views: int
    visitors: int


class TrendingTopic(Shape):
    topic: str
    score: float
    count: int
    expected: float
    new: bool


class SourceViews(Shape):
    source: str
    views: int
    visitors: int


class CountryViews(Shape):
    country: str
    views: int
    visitors: int


class DeviceViews(Shape):
    device: str
    views: int
    visitors: int


class EventCount(Shape):
    event: str
    count: int
    visitors: int


class LiveAnswer(Shape):
    """The live numbers of one site. Times are ISO 8601 in UTC; `lag_s` is null before any event was counted."""

    as_of: str
    current_visitors_5m: int
    visitors_30m: int
    views_per_minute: list[MinuteViews]
    top_pages: list[TopPage]
    trending: list[TrendingTopic]
    sources: list[SourceViews]
    countries: list[CountryViews]
    devices: list[DeviceViews]
    events: list[EventCount]
    feed: list[dict[str, Any]]
    lag_s: float | None
    status: str
    warnings: list[str]


class LedgerRowShape(Shape):
    partition: int
    minute: str
    appended: int
    duplicates: int
    enriched: int
    bots: int
    dead_lettered: int
    erased: int
    archived: int
    waiting: int
    skipped: int
    difference: int
    balanced: bool


class LedgerAnswer(Shape):
    """By minute and partition. `skipped`: offsets that nobody has accounted for, part of `appended`."""

    rows: list[LedgerRowShape]
    totals: dict[str, int]
    balanced: bool

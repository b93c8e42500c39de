"""The answers of the query API as its OpenAPI document describes them. Names are those of `INTERFACE.md`."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def example(answer: dict[str, Any]) -> ConfigDict:
    """What an answer looks like, for its description; answers may have more than is described."""
    return ConfigDict(extra="allow", json_schema_extra={"examples": [answer]})


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

    model_config = example(
        {
            "as_of": "2026-11-24T13:05:07.120Z",
            "current_visitors_5m": 31,
            "visitors_30m": 112,
            "views_per_minute": [{"minute": "2026-11-24T13:05:00.000Z", "views": 9, "visitors": 7}],
            "top_pages": [{"path": "/shop", "views": 40, "visitors": 22}],
            "trending": [{"topic": "election", "score": 6.1, "count": 48, "expected": 14.2, "new": False}],
            "sources": [{"source": "Google", "views": 51, "visitors": 34}],
            "countries": [{"country": "DE", "views": 77, "visitors": 60}],
            "devices": [{"device": "mobile", "views": 80, "visitors": 63}],
            "events": [{"event": "page_view", "count": 131, "visitors": 112}],
            "feed": [],
            "lag_s": 0.0,
            "status": "live",
            "warnings": [],
        }
    )


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

    model_config = example(
        {
            "rows": [
                {
                    **{"partition": 0, "minute": "2026-11-24T13:04:00.000Z", "appended": 812, "duplicates": 3},
                    **{"enriched": 790, "bots": 20, "dead_lettered": 2, "erased": 0, "archived": 600, "waiting": 210},
                    **{"skipped": 0, "difference": 0, "balanced": True},
                }
            ],
            "totals": {
                **{"appended": 812, "duplicates": 3, "enriched": 790, "bots": 20, "dead_lettered": 2, "erased": 0},
                **{"archived": 600, "waiting": 210, "skipped": 0},
            },
            "balanced": True,
        }
    )


Value = str | int | float | None


class ComparisonShape(Shape):
    """The same question for an earlier range. `until`: the range asked for is under way, and the totals are of what
    had happened before this moment, at the same time of the day; null: they are of the whole range."""

    from_date: str = Field(alias="from")
    to_date: str = Field(alias="to")
    until: str | None
    rows: list[list[Value]]
    totals: dict[str, Value]


class HistoryAnswer(Shape):
    """`columns` are those of `by`, then the metrics; each row has as many values. `time` is the ISO date that the
    period starts on, for hours with the time and its offset. `complete_through`: all received before it is in."""

    columns: list[str]
    rows: list[list[Value]]
    totals: dict[str, Value]
    comparison: ComparisonShape | None
    complete_through: str | None
    truncated: bool

    model_config = example(
        {
            "columns": ["time", "visitors", "views"],
            "rows": [["2026-11-01", 1204, 3310], ["2026-11-02", 1411, 4027]],
            "totals": {"visitors": 2390, "views": 7337},
            "comparison": None,
            "complete_through": "2026-11-24T13:05:07.120Z",
            "truncated": False,
        }
    )


class CohortShape(Shape):
    start: str
    size: int
    returned: list[int]
    complete: list[bool]


class RetentionAnswer(Shape):
    """One cohort for each period of the range. `complete[n]` is false while period n is not over."""

    cohorts: list[CohortShape]
    complete_through: str | None

    model_config = example(
        {
            "cohorts": [
                {"start": "2026-11-01", "size": 100, "returned": [100, 31, 12], "complete": [True, True, False]}
            ],
            "complete_through": "2026-11-03T13:05:07.120Z",
        }
    )


class FunnelStepShape(Shape):
    visitors: int
    share: float
    median_s: float | None


class FunnelAnswer(Shape):
    """One result for each step. `median_s`: seconds from the step before."""

    steps: list[FunnelStepShape]
    complete_through: str | None

    model_config = example(
        {
            "steps": [
                {"visitors": 1200, "share": 1.0, "median_s": None},
                {"visitors": 300, "share": 0.25, "median_s": 42.5},
            ],
            "complete_through": "2026-11-24T13:05:07.120Z",
        }
    )


class VisitorAnswer(Shape):
    """Times are Unix milliseconds. `events` have all fields of an enriched event."""

    visitor_id: str
    user_id: str | None
    traits: dict[str, Any]
    totals: dict[str, int | None]
    sessions: list[dict[str, Any]]
    complete_through: str | None
    events: list[dict[str, Any]]

    model_config = example(
        {
            "visitor_id": "v1",
            "user_id": None,
            "traits": {"country": "DE"},
            "totals": {
                **{"events": 1, "views": 1, "sessions": 1, "engaged_ms": 4200},
                **{"first_time": 1795525507120, "last_time": 1795525507120},
            },
            "sessions": [{"session_id": "5f0c", "start": 1795525507120, "end": 1795525507120, "events": 1}],
            "complete_through": "2026-11-24T13:05:07.120Z",
            "events": [{"site": "news", "event_id": "a1", "name": "page_view", "event_time": 1795525507120}],
        }
    )


class ErasureAnswer(Shape):
    """`events` and `sessions`: what was shown of the visitor until now. `removed`: what was rewritten or deleted.

    `state`: `removed` when nothing is left, else `removing`.
    """

    visitor_id: str
    erased_time: str
    events: int
    sessions: int
    removed: dict[str, int]
    state: str

    model_config = example(
        {
            "visitor_id": "v1",
            "erased_time": "2026-11-24T13:05:07.120Z",
            "events": 9,
            "sessions": 6,
            "removed": {"chunks": 1, "files": 3, "dead_letters": 0, "feeds": 1, "rollups": 2, "requests": 0},
            "state": "removed",
        }
    )

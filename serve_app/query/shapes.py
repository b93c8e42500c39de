"""The answers of the query API as its OpenAPI document describes them. Names are those of `INTERFACE.md`."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


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


Value = str | int | float | None


class ComparisonShape(Shape):
    """The same question for as many days right before."""

    from_date: str = Field(alias="from")
    to_date: str = Field(alias="to")
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

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "columns": ["time", "visitors", "views"],
                    "rows": [["2026-11-01", 1204, 3310], ["2026-11-02", 1411, 4027]],
                    "totals": {"visitors": 2390, "views": 7337},
                    "comparison": None,
                    "complete_through": "2026-11-24T13:05:07.120Z",
                    "truncated": False,
                }
            ]
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

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "cohorts": [
                        {"start": "2026-11-01", "size": 100, "returned": [100, 31, 12], "complete": [True, True, False]}
                    ],
                    "complete_through": "2026-11-03T13:05:07.120Z",
                }
            ]
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

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "steps": [
                        {"visitors": 1200, "share": 1.0, "median_s": None},
                        {"visitors": 300, "share": 0.25, "median_s": 42.5},
                    ],
                    "complete_through": "2026-11-24T13:05:07.120Z",
                }
            ]
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

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "visitor_id": "v1",
                    "erased_time": "2026-11-24T13:05:07.120Z",
                    "events": 9,
                    "sessions": 6,
                    "removed": {"chunks": 1, "files": 3, "dead_letters": 0, "feeds": 1},
                    "state": "removed",
                }
            ]
        }
    )

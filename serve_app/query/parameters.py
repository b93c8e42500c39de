"""What the query API is asked with: each parameter checked by itself, and one that is not known refused by name.

What several of them mean together is checked by the reports' own queries (`pistats.reports`).
"""

import re
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pistats.errors import QueryError
from pistats.reports import events, funnel, history
from pistats.reports.events import EventsQuery
from pistats.reports.funnel import FunnelQuery, FunnelStep
from pistats.reports.history import HistoryQuery
from pistats.reports.retention import RetentionQuery
from pistats.sites import Site

DEFAULT_DAYS = 30
"""Of a range that does not say where it begins."""

FILTER_CHARS = 4_000
"""Of a condition in the address: HAProxy takes request lines of 16 KB, and each quote is three characters there."""

FILTER_EXAMPLE = '{"field": "country", "op": "in", "value": ["DE", "AT"]}'
WHERE_EXAMPLE: dict[str, Any] = {"field": "path", "op": "starts_with", "value": "/shop"}

ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _iso_date(value: Any) -> date:
    """Of YYYY-MM-DD only: pydantic by itself takes numbers and times as well."""
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or ISO_DATE.fullmatch(value) is None:
        raise ValueError("expected a date as YYYY-MM-DD, such as 2026-11-30")
    return date.fromisoformat(value)


Day = Annotated[date, BeforeValidator(_iso_date)]
EventName = Annotated[str, Field(min_length=1, max_length=funnel.MAX_NAME_CHARS)]


class Parameters(BaseModel):
    """Refuses what it does not know: a mistyped parameter would change the answer silently."""

    model_config = ConfigDict(extra="forbid")


class RangeParameters(Parameters):
    """A range of days in the site's time zone, both inclusive."""

    from_date: Day | None = Field(
        None,
        alias="from",
        description=f"First day. Default: `to` and the {DEFAULT_DAYS - 1} days before it.",
        examples=["2026-11-01"],
    )
    to_date: Day | None = Field(None, alias="to", description="Last day. Default: today.", examples=["2026-11-30"])

    def days(self, site: Site, default_days: int = DEFAULT_DAYS) -> tuple[date, date]:
        """First and last day; where they are not given, the last `default_days` days."""
        to_date = self.to_date or datetime.now(ZoneInfo(site.timezone)).date()
        default = date.fromordinal(max(1, to_date.toordinal() - default_days + 1))
        return self.from_date or default, to_date


class LedgerParameters(Parameters):
    """Days of the ledger."""

    from_date: Day | None = Field(None, alias="from", description="First day. Default: `to`.", examples=["2026-11-30"])
    to_date: Day | None = Field(None, alias="to", description="Last day. Default: today.", examples=["2026-11-30"])

    def range_ms(self, site: Site) -> tuple[int, int]:
        """From the first instant of the first day to that behind the last day, in the site's time zone, Unix ms."""
        zone = ZoneInfo(site.timezone)
        to_date = self.to_date or datetime.now(zone).date()
        from_date = self.from_date or to_date
        if to_date < from_date:
            raise QueryError(f"The range ends ({to_date}) before it begins ({from_date}): swap `from` and `to`.")
        if not date(1971, 1, 1) <= from_date <= to_date < date(9999, 12, 30):
            raise QueryError(
                "The range is of no time in which there was a ledger: ask for days since the system began."
            )
        return _midnight_ms(from_date, zone), _midnight_ms(to_date + timedelta(days=1), zone)


class FilteredParameters(RangeParameters):
    """A range, and which of its events."""

    filter_text: str | None = Field(
        None,
        alias="filter",
        max_length=FILTER_CHARS,
        description="A condition on events as JSON: see Conditions at the top.",
        examples=[FILTER_EXAMPLE],
    )

    @property
    def condition(self) -> dict[str, Any] | None:
        """The condition tree; its fields and values are checked when it is compiled."""
        if not self.filter_text:
            return None
        try:
            tree = orjson.loads(self.filter_text)
        except orjson.JSONDecodeError as error:
            raise QueryError(f"`filter` is not JSON ({error}): it looks like {FILTER_EXAMPLE}.") from None
        if not isinstance(tree, dict):
            raise QueryError(f"`filter` has to be a JSON object, such as {FILTER_EXAMPLE}.")
        return tree


class SegmentedParameters(FilteredParameters):
    """As before; `segment` is refused, and said why."""

    segment: str | None = Field(None, description="Not in this version: use `filter`.")

    def check_segment(self) -> None:
        """Raises QueryError when a segment is asked for."""
        if self.segment is not None:
            raise QueryError("`segment`: this version has no segments. Leave it out and narrow by `filter`.")


class HistoryParameters(SegmentedParameters):
    """A history report."""

    metrics: str = Field(
        "visitors",
        max_length=200,
        description=f"Comma-separated: {', '.join(history.METRICS)}.",
        examples=["visitors,views,bounce_rate"],
    )
    by: str = Field(
        "time",
        max_length=200,
        description=f"Comma-separated, {history.MAX_BY} at most: {', '.join(history.BY)}. Empty: the totals alone.",
        examples=["time"],
    )
    granularity: Literal["hour", "day", "week", "month"] = Field(
        "day", description="Length of the periods of `time`, in the site's time zone; weeks begin on Monday."
    )
    compare: Literal["previous", "previous_month", "previous_year"] | None = Field(
        None,
        description="The same as `comparison`, `previous`: for as many days right before; `previous_month`, "
        "`previous_year`: for the same days a month or a year before.",
    )
    bots: Literal["exclude", "include", "only"] = Field(
        "exclude", description="Whether events count that were recognised as those of crawlers and other programs."
    )
    limit: int = Field(
        1_000, ge=1, le=history.MAX_ROWS, description="Most rows: the first by the first metric, by time the earliest."
    )

    def query(self, site: Site) -> HistoryQuery:
        """What the report is asked."""
        self.check_segment()
        from_date, to_date = self.days(site)
        return HistoryQuery(
            from_date=from_date,
            to_date=to_date,
            metrics=_names(self.metrics),
            by=_names(self.by),
            granularity=self.granularity,
            filter=self.condition,
            compare=self.compare,
            bots=self.bots,
            limit=self.limit,
        )


class RetentionParameters(SegmentedParameters):
    """A retention grid."""

    granularity: Literal["day", "week", "month"] = Field(
        "day", description="Length of a cohort's period and of each later one, in the site's time zone."
    )
    mode: Literal["first", "recurring"] = Field(
        "first", description="`first`: a visitor is in the cohort of the first event ever; `recurring`: in every one."
    )
    returns: Literal["on", "on_or_after"] = Field(
        "on", alias="return", description="Came back in exactly that period, or in that one or a later one."
    )
    event: EventName | None = Field(None, description="That makes a cohort. Default: any.", examples=["page_view"])
    return_event: EventName | None = Field(None, description="That counts as a return. Default: any.")
    week_start: Literal["monday", "sunday"] = Field("monday", description="The first day of a week.")

    def query(self, site: Site) -> RetentionQuery:
        """What the report is asked."""
        self.check_segment()
        from_date, to_date = self.days(site)
        return RetentionQuery(
            from_date=from_date,
            to_date=to_date,
            granularity=self.granularity,
            mode=self.mode,
            returns=self.returns,
            event=self.event,
            return_event=self.return_event,
            week_start=self.week_start,
            filter=self.condition,
        )


class EventsParameters(FilteredParameters):
    """A page of events."""

    visitor: str | None = Field(None, min_length=1, max_length=128, description="Of this visitor only.")
    limit: int = Field(1_000, ge=1, le=events.MAX_EVENTS, description="Events of this page.")
    cursor: str | None = Field(
        None, max_length=1_000, description="The `next_cursor` of the page before; leave the rest as it was."
    )

    def query(self, site: Site) -> EventsQuery:
        """What the report is asked."""
        from_date, to_date = self.days(site)
        return EventsQuery(
            from_date=from_date,
            to_date=to_date,
            visitor=self.visitor,
            limit=self.limit,
            cursor=self.cursor,
            filter=self.condition,
        )


class FunnelStepBody(Parameters):
    """An event by its name, and a condition on it."""

    name: EventName = Field(examples=["page_view"])
    where: dict[str, Any] | None = Field(
        None, description="A condition on the event: see Conditions at the top.", examples=[WHERE_EXAMPLE]
    )


class FunnelBody(RangeParameters):
    """A funnel."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "steps": [{"name": "page_view", "where": WHERE_EXAMPLE}, {"name": "purchase"}],
                    "window_s": 3_600,
                    "from": "2026-11-01",
                    "to": "2026-11-30",
                }
            ]
        },
    )

    steps: list[FunnelStepBody] = Field(min_length=1, max_length=funnel.MAX_STEPS)
    window_s: int = Field(86_400, ge=1, le=funnel.MAX_WINDOW_S, description="Seconds from the first step to the last.")
    order: Literal["ordered", "strict", "any"] = Field(
        "ordered",
        description="`ordered`: other events may lie between; `strict`: none does; `any`: the steps in any order.",
    )

    def query(self, site: Site) -> FunnelQuery:
        """What the report is asked."""
        from_date, to_date = self.days(site)
        return FunnelQuery(
            steps=tuple(FunnelStep(step.name, step.where) for step in self.steps),
            from_date=from_date,
            to_date=to_date,
            window_s=self.window_s,
            order=self.order,
        )


def _names(text: str) -> tuple[str, ...]:
    """A comma-separated list of names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000

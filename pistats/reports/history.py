"""What a history report is asked and what it answers: metrics by time and by dimension.

- `visitors`, `views`, `events` are of the events of a period: distinct visitors with an event in it, page views, all
  events. Distinct visitors are counted exactly, for each row and for the total: rows do not add up to it.
- `sessions`, `bounce_rate`, `visit_duration`, `views_per_session`, `engaged_time` are of the sessions that START in the
  period. Bounce rate is a share from 0 to 1, visit duration and engaged time are seconds per session.
- By `source`, `channel`, `campaign`, `entry_page`, `exit_page` an event counts for its session's value: the source is
  that of the session's first arrival. By `country`, `device`, `browser`, `os`, `language` an event counts for its own
  value and a session for the first that is known of it.
- By `page`, sessions are those that ENTERED on the page. By `event`, sessions are those that contain such an event: one
  session may count for several events.
- A filter picks events; sessions are those that contain a picked event, whole and as they were.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from pistats.errors import QueryError
from pistats.warehouse.measures import EVENT_SUMS, METRICS_SQL
from pistats.warehouse.periods import Granularity

Value = str | int | float | None

METRICS = tuple(METRICS_SQL)
"""Every metric of a history report. Null where there is no session to divide by."""

EVENT_METRICS = EVENT_SUMS
SESSION_METRICS = tuple(name for name in METRICS if name not in EVENT_METRICS)

BY = (
    "time",
    "page",
    "entry_page",
    "exit_page",
    "source",
    "channel",
    "campaign",
    "country",
    "device",
    "browser",
    "os",
    "event",
    "language",
)
"""What a history report may be broken down by."""

Compare = Literal["previous", "previous_month", "previous_year"]
Bots = Literal["exclude", "include", "only"]

GRANULARITIES = get_args(Granularity)
BOTS = get_args(Bots)
COMPARISONS = get_args(Compare)
"""What a report may be compared with: as many days right before, the same days a month or a year before."""

MAX_BY = 3
"""More columns at once make rows that nobody reads, and groups by the million."""

MAX_ROWS = 10_000
"""Of one answer: a year of hours, or a long tail of pages."""

MAX_PERIODS = 9_000
"""Of a report by time: a year of hours. Longer ranges have coarser granularities."""

MAX_DAYS = 3_660
"""Ten years: a longer range is a mistyped date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """One question to the history. Raises QueryError when it cannot be answered.

    `from_date` and `to_date` are days in the site's time zone, both inclusive. `filter` is a condition tree
    (`pistats.warehouse.condition`). `limit` is of rows; the first by the first metric are kept, by time the earliest.
    """

    from_date: date
    to_date: date
    metrics: tuple[str, ...] = ("visitors",)
    by: tuple[str, ...] = ("time",)
    granularity: Granularity = "day"
    filter: dict[str, Any] | None = None
    compare: Compare | None = None
    bots: Bots = "exclude"
    limit: int = 1_000

    def __post_init__(self) -> None:
        check_range(self.from_date, self.to_date)
        _check_names("metrics", self.metrics, METRICS)
        _check_names("by", self.by, BY, empty=True)
        if len(self.by) > MAX_BY:
            raise QueryError(f"`by` has {len(self.by)} columns; ask for {MAX_BY} at most.")
        _check_choice("granularity", self.granularity, GRANULARITIES)
        _check_choice("bots", self.bots, BOTS)
        if self.compare not in (None, *COMPARISONS):
            raise QueryError(f"`compare` cannot be {self.compare!r}: leave it out, or use {', '.join(COMPARISONS)}.")
        if not 1 <= self.limit <= MAX_ROWS:
            raise QueryError(f"`limit` is {self.limit}; it has to be from 1 to {MAX_ROWS:,}.")
        if "time" in self.by and self.granularity == "hour" and self.days * 24 > MAX_PERIODS:
            raise QueryError(f"{self.days:,} days are too many hours: use granularity=day.")

    @property
    def days(self) -> int:
        """How many days the range has."""
        return (self.to_date - self.from_date).days + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryComparison:
    """The same question for an earlier range. `rows` are of all its days.

    `until` (Unix ms): the range asked for is under way, and `totals` are of what had happened before this moment, at
    the same time of the day; None: they are of the whole range.
    """

    from_date: date
    to_date: date
    until: int | None
    rows: tuple[tuple[Value, ...], ...]
    totals: dict[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryReport:
    """The answer. `columns` are those of `by`, then the metrics; every row has as many values.

    `time` is the ISO date that the period starts on; an hour is `2026-10-25T02:00:00+02:00`, with the offset, because
    clocks that are set back show it twice. Periods without events have rows of zeros when `by` is `time` alone.
    Unknown values of a dimension are None. `truncated`: more than `limit` rows were found. `totals` are over the whole
    range and all rows, cut off or not. `complete_through`: all received before it (Unix ms) is in; None: unknown.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    totals: dict[str, Value]
    comparison: HistoryComparison | None
    complete_through: int | None
    truncated: bool


def check_range(from_date: date, to_date: date) -> None:
    """Raises QueryError unless the range has between one day and ten years."""
    if to_date < from_date:
        raise QueryError(f"The range ends ({to_date}) before it begins ({from_date}): swap `from` and `to`.")
    days = (to_date - from_date).days + 1
    if days > MAX_DAYS:
        raise QueryError(f"The range has {days:,} days; ask for {MAX_DAYS:,} at most.")


def _check_names(what: str, names: tuple[str, ...], known: tuple[str, ...], *, empty: bool = False) -> None:
    if not names and not empty:
        raise QueryError(f"`{what}` is empty: name at least one of {', '.join(known)}.")
    for name in names:
        if name not in known:
            raise QueryError(f"`{what}` knows no {name[:40]!r}: use {', '.join(known)}.")
    if len(set(names)) < len(names):
        raise QueryError(f"`{what}` names one twice: name each once.")


def _check_choice(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise QueryError(f"`{what}` cannot be {value[:40]!r}: use one of {', '.join(known)}.")

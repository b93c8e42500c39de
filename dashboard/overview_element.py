"""The top of the history page: every metric as a tile, the chosen one over time, annotations under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.element import LOADING, Data, Element
from dashboard.periods import Days, end_of
from pistats import format as fmt
from pistats.annotations import Annotation
from pistats.glossary import GLOSSARY
from pistats.reports.history import METRICS, HistoryReport

OVERVIEW = Element("overview")

NAMES = {
    "visitors": "Visitors",
    "sessions": "Sessions",
    "views": "Views",
    "events": "Events",
    "bounce_rate": "Bounce rate",
    "visit_duration": "Visit duration",
    "views_per_session": "Views per session",
    "engaged_time": "Engaged time",
}
"""What people read for each metric, everywhere."""

TERMS = {
    "visitors": "visitor",
    "sessions": "session",
    "views": "view",
    "events": "event_count",
    "bounce_rate": "bounce_rate",
    "visit_duration": "visit_duration",
    "views_per_session": "views_per_session",
    "engaged_time": "engaged_time",
}
"""Each metric's entry in the glossary."""

COUNTS = ("visitors", "sessions", "views", "events")
MAX_COLUMNS = 62
"""Up to here each period is a column; more become a line."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What the element shows: a report of all metrics by time, and the choices that led to it."""

    report: HistoryReport
    days: Days
    granularity: str
    metric: str
    timezone: ZoneInfo
    now: datetime
    annotations: Sequence[Annotation]
    can_edit: bool


def definition(metric: str) -> str:
    """What the metric counts, from the glossary; a word that it rests on is explained with it."""
    more = f" A bounce: {GLOSSARY['bounce'].definition}" if metric == "bounce_rate" else ""
    return GLOSSARY[TERMS[metric]].definition + more


def overview_data(shown: Overview) -> Data:
    """The element's data: everything formatted, every point with what its reading says."""
    return {
        "tiles": [_tile(shown, metric) for metric in METRICS],
        "chart": _chart(shown),
        "notes": _notes(shown.annotations),
        "can_edit": shown.can_edit,
    }


def loading_overview(annotations: Sequence[Annotation], *, can_edit: bool) -> Data:
    """The shape, with the annotations: they are known at once, and each takes a line."""
    return {**LOADING, "notes": _notes(annotations), "can_edit": can_edit}


def _tile(shown: Overview, metric: str) -> Data:
    value, before = _number(shown.report.totals.get(metric)), None
    if shown.report.comparison is not None:
        before = _number(shown.report.comparison.totals.get(metric))
    change = fmt.change(metric, value, before)
    return {
        "key": metric,
        "name": NAMES[metric],
        "definition": definition(metric),
        "value": fmt.metric(metric, value),
        "exact": fmt.metric_exact(metric, value),
        "chosen": metric == shown.metric,
        "change": change
        and {
            "direction": change.direction,
            "text": change.text,
            "words": change.words,
            "good": change.good,
            "period": _compared(shown),
        },
    }


def _chart(shown: Overview) -> Data:
    points = _points(shown)
    most = max(
        (value for point in points for value in (point["value"], point["before"]) if value is not None), default=0
    )
    top = fmt.axis_top(shown.metric, most)
    empty = not any(shown.report.totals.get(metric) for metric in COUNTS)
    return {
        "name": NAMES[shown.metric],
        "range": fmt.days(shown.days.first, shown.days.last),
        "before": _before(shown) if shown.report.comparison else "",
        "kind": "columns" if shown.metric in COUNTS and len(points) <= MAX_COLUMNS else "line",
        "points": points,
        "top": top,
        "marks": [{"at": top * part, "text": fmt.metric(shown.metric, top * part)} for part in (0.5, 1)],
        "flags": _flags(shown),
        "empty": _empty(shown) if empty else None,
    }


def _points(shown: Overview) -> list[Data]:
    column = shown.report.columns.index(shown.metric)
    starts = _starts(shown)
    earlier = _earlier(shown, starts)
    points: list[Data] = []
    for index, start in enumerate(starts):
        row = earlier[index]
        before = None if row is None else _number(row[column])
        future = index >= len(shown.report.rows)
        value = None if future else _number(shown.report.rows[index][column])
        points.append(
            {
                "short": fmt.period_short(start, shown.granularity),
                "label": _label(shown, start),
                "value": value,
                "text": "not yet" if future else fmt.metric_exact(shown.metric, value),
                "open": not future and end_of(start, shown.granularity) > shown.now,
                "before": before,
                "before_text": fmt.metric_exact(shown.metric, before) if row is not None else "",
            }
        )
    return points


def _starts(shown: Overview) -> list[datetime]:
    """When each period of the range starts, those to come included."""
    starts = [_start(row[0], shown.timezone) for row in shown.report.rows]
    while starts and (next_start := end_of(starts[-1], shown.granularity)).date() <= shown.days.last:
        starts.append(next_start)
    return starts


def _label(shown: Overview, start: datetime) -> str:
    """The period in full. A week or a month at an edge of the range says which of its days are counted.

    Clocks that are set back show an hour twice.
    """
    end = (end_of(start, shown.granularity) - timedelta(days=1)).date()
    if shown.granularity in ("week", "month") and (start.date() < shown.days.first or end > shown.days.last):
        return fmt.days(max(start.date(), shown.days.first), min(end, shown.days.last))
    again = " again" if shown.granularity == "hour" and start.fold else ""
    return fmt.period(start, shown.granularity) + again


def _earlier(shown: Overview, starts: Sequence[datetime]) -> list[tuple[Any, ...] | None]:
    """The row of the earlier range that stands beside each period. Hours meet by the clock, which may be changed."""
    comparison = shown.report.comparison
    if comparison is None:
        return [None] * len(starts)
    if shown.granularity != "hour":
        rows = comparison.rows[: len(starts)]
        return [*rows, *([None] * (len(starts) - len(rows)))]
    found: dict[tuple[int, int], tuple[Any, ...]] = {}
    for row in comparison.rows:
        start = _start(row[0], shown.timezone)
        found.setdefault(((start.date() - comparison.from_date).days, start.hour), row)
    return [found.get(((start.date() - shown.days.first).days, start.hour)) for start in starts]


def _flags(shown: Overview) -> list[Data]:
    """Where on the chart each annotation stands: at the last point that starts on or before its day."""
    starts = [start.date() for start in _starts(shown)]
    flags = []
    for number, note in enumerate(shown.annotations, 1):
        at = [index for index, start in enumerate(starts) if start <= note.date]
        if starts:
            first_of_day = starts.index(note.date) if note.date in starts else at[-1] if at else 0
            flags.append({"at": first_of_day, "number": str(number)})
    return flags


def _notes(annotations: Sequence[Annotation]) -> list[Data]:
    return [
        {"id": note.id, "number": str(number), "date": fmt.weekday(note.date), "text": note.text}
        for number, note in enumerate(annotations, 1)
    ]


def _before(shown: Overview) -> str:
    comparison = shown.report.comparison
    return fmt.days(comparison.from_date, comparison.to_date) if comparison else ""


def _compared(shown: Overview) -> str:
    """What a change is against: of the earlier range, as much as of this one is over."""
    comparison = shown.report.comparison
    if comparison is None or comparison.until is None:
        return _before(shown)
    until = datetime.fromtimestamp(comparison.until / 1000, shown.timezone)
    days = fmt.days(comparison.from_date, until.date())
    return f"{days}, until {until:%H:%M}: as much as of this range is over."


def _empty(shown: Overview) -> list[str]:
    return [
        "Nothing in this range",
        f"{fmt.days(shown.days.first, shown.days.last)}: no event matches. "
        "Choose a longer period above, or take a filter away. Is the site new? Live shows the line to paste into it.",
    ]


def _start(value: Any, timezone: ZoneInfo) -> datetime:
    start = datetime.fromisoformat(str(value))
    return start.astimezone(timezone) if start.tzinfo else start.replace(tzinfo=timezone)


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) else None

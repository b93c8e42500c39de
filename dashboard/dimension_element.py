"""A dimension as a table: ranked rows, a bar behind each, a click filters the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.element import LOADING, Data, Element
from dashboard.filters import DIMENSIONS, Dimension, Filter
from dashboard.overview_element import NAMES, definition
from pistats import format as fmt
from pistats.reports.history import EVENT_METRICS, HistoryReport

TABLE = Element("table")

MAX_ROWS = 100
"""Sent to the browser; the export has them all."""


OF_SESSIONS = ("channel", "source", "campaign")
"""Dimensions that are of the session, beside entry and exit pages."""


@dataclass(frozen=True, slots=True)
class Card:
    """One table with a tab for each of its dimensions, in the address as `key`; the first metric orders the rows."""

    key: str
    title: str
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]

    def chosen(self, asked: str) -> Dimension:
        """The dimension of the tab that is asked for, else of the first."""
        return DIMENSIONS[asked if asked in self.dimensions else self.dimensions[0]]

    def metrics_of(self, dimension: Dimension, *, every: bool = True) -> tuple[str, ...]:
        """Which metrics its rows have. Views belong to a page, not to the one where a session began or ended.

        Not `every`: only those that need no sessions, unless the dimension does; that is several times as fast.
        """
        if dimension.key in ("entry_page", "exit_page"):
            return ("sessions", "visitors", "bounce_rate", "visit_duration")
        if every or dimension.key in OF_SESSIONS:
            return self.metrics
        return tuple(metric for metric in self.metrics if metric in EVENT_METRICS)


VISITS = ("visitors", "sessions", "views", "bounce_rate", "visit_duration")

CARDS = (
    Card("sources", "Sources", ("channel", "source", "campaign"), VISITS),
    Card("pages", "Pages", ("page", "entry_page", "exit_page"), ("visitors", "views", "sessions", "bounce_rate")),
    Card("places", "Places", ("country", "language"), VISITS),
    Card("devices", "Devices", ("device", "browser", "os"), VISITS),
    Card("events", "Events", ("event",), ("events", "visitors", "sessions")),
)

TAB_NAMES = {"os": "System", "entry_page": "Entry", "exit_page": "Exit", "page": "All"}
"""Shorter than the dimension's name, beside the card's title."""


def loading_table(title: str) -> Data:
    """A table whose rows are on their way."""
    return {**LOADING, "title": title}


def table_data(card: Card, dimension: Dimension, report: HistoryReport, filters: Sequence[Filter]) -> Data:
    """The element's data. A row's `key` comes back when it is clicked: its value in a list, empty for unknown."""
    metrics = report.columns[1:]
    rows = report.rows[:MAX_ROWS]
    most = max((_count(row[1]) for row in rows), default=0)
    total = _count(report.totals.get(metrics[0]))
    picked = {one.value for one in filters if one.dimension == dimension.key}
    return {
        "title": card.title,
        "title_of_all": dimension.plural,
        "column": dimension.name,
        "kind": dimension.key,
        "tab": dimension.key,
        "tabs": [{"key": key, "name": TAB_NAMES.get(key, DIMENSIONS[key].name)} for key in card.dimensions],
        "columns": [{"name": NAMES[metric], "definition": definition(metric)} for metric in metrics],
        "count": f"{len(rows):,}" if len(rows) == len(report.rows) and not report.truncated else f"{MAX_ROWS:,} first",
        "rows": [_row(dimension, metrics, row, most, total, picked) for row in rows],
        "picks": True,
        "asks": metrics != card.metrics_of(dimension),
        "note": "",
        "empty": _empty(dimension),
    }


def _row(
    dimension: Dimension,
    metrics: Sequence[str],
    row: Sequence[object],
    most: float,
    total: float,
    picked: set[str | None],
) -> Data:
    value = None if row[0] is None else str(row[0])
    name = dimension.unknown if value is None else value
    if dimension.key == "device" and value is not None:
        name = "TV" if value == "tv" else value.capitalize()
    return {
        "key": [] if value is None else [value],
        "name": name,
        "unknown": value is None,
        "code": value,
        "picked": value in picked,
        "share": _count(row[1]) / most if most else 0,
        "part": fmt.percent(_count(row[1]) / total) if total else "",
        "cells": [_cell(metric, cell) for metric, cell in zip(metrics, row[1:], strict=True)],
    }


def _cell(metric: str, value: object) -> Data:
    number = value if isinstance(value, (int, float)) else None
    return {"text": fmt.metric(metric, number), "exact": fmt.metric_exact(metric, number), "value": number}


def _count(value: object) -> float:
    return value if isinstance(value, (int, float)) else 0


def _empty(dimension: Dimension) -> list[str]:
    advice = {
        "campaign": "Links with utm_campaign in their address appear here.",
        "source": "Visits from other sites, searches and campaigns appear here.",
    }.get(dimension.key, "Choose a longer period, or take a filter away.")
    return [f"No {dimension.plural.lower()} in this range", advice]

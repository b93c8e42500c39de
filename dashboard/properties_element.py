"""The properties of one event: a tab for each, its values as rows."""

from collections.abc import Sequence

from dashboard.element import Data
from dashboard.filters import PROPERTY, Filter
from dashboard.overview_element import NAMES, definition
from pistats import format as fmt
from pistats.reports.properties import PropertyReport

METRICS = ("events", "visitors")


def properties_data(event: str, report: PropertyReport, filters: Sequence[Filter]) -> Data:
    """The table's data. Names and values are a client's: they are shown as they are, cut where they do not fit."""
    most = max((events for _, events, _ in report.rows), default=0)
    total = sum(events for _, events, _ in report.rows)
    picked = {one.value for one in filters if one.dimension == f"{PROPERTY}{report.name}"}
    return {
        "title": "Properties",
        "title_of_all": f"{event}: {report.name}",
        "column": report.name or "",
        "kind": "",
        "tab": report.name or "",
        "tabs": [{"key": name, "name": name} for name in report.names],
        "columns": [{"name": NAMES[metric], "definition": definition(metric)} for metric in METRICS],
        "count": f"{len(report.rows):,}" + (" first" if report.truncated else ""),
        "rows": [_row(row, most, total, picked) for row in report.rows],
        "picks": True,
        "asks": False,
        "note": f"of {event}" if event else "",
        "empty": [
            "No properties",
            "pistats('event', 'signup', {plan: 'pro'}) sends them along. Click an event on the left to see its own.",
        ],
    }


def _row(row: tuple[str | None, int, int], most: int, total: int, picked: set[str | None]) -> Data:
    value, events, visitors = row
    return {
        "key": [] if value is None else [value],
        "name": "Sent without it" if value is None else value or "(empty)",
        "unknown": value is None,
        "picked": value in picked,
        "share": events / most if most else 0,
        "part": fmt.percent(events / total) if total else "",
        "cells": [{"text": fmt.number(n), "exact": fmt.exact(n), "value": n} for n in (events, visitors)],
    }

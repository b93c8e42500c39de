"""Reports as files: CSV that a spreadsheet opens without computing anything."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import streamlit as st

from dashboard.filters import DIMENSIONS, Dimension
from dashboard.question import Asker
from pistats.csv_export import to_csv
from pistats.reports.history import MAX_ROWS, METRICS, HistoryQuery, HistoryReport


def report_csv(report: HistoryReport) -> bytes:
    """The rows of a report, under the names that the query API uses."""
    return to_csv(report.columns, report.rows)


def export_button(asked: Asker, over_time: HistoryQuery, dimensions: Sequence[Dimension]) -> None:
    """A menu of downloads: over time, and each table as it is shown, with every metric. Made when it is clicked."""
    with st.popover("Export", icon=":material/download:", help="Download what is shown as CSV"):
        _download(asked, "Over time", over_time, f"by-{over_time.granularity}")
        for dimension in dimensions:
            query = replace(over_time, by=(dimension.key,), metrics=METRICS, compare=None, limit=MAX_ROWS)
            _download(asked, DIMENSIONS[dimension.key].plural, query, dimension.key.replace("_", "-"))


def _download(asked: Asker, label: str, query: HistoryQuery, part: str) -> None:
    name = f"{asked.site.name}-{query.from_date}-{query.to_date}-{part}.csv"
    made: Callable[[], bytes] = lambda: report_csv(asked.answer("history", query))  # noqa: E731
    st.download_button(label, made, name, "text/csv", key=f"export_{part}", on_click="ignore", width="stretch")

"""Retention: who comes back. The grid follows the events; a click on a cell shows its visitors."""

from datetime import date, timedelta
from typing import Any

import streamlit as st

from dashboard import query_state
from dashboard.cohorts_element import COHORTS, cohorts_data, loading_cohorts
from dashboard.event_picker import event_names, event_names_soon, pick_event
from dashboard.first_draw import as_fragment, counting_words, is_first, shape_first
from dashboard.people_element import cell_people_data, show_people
from dashboard.question import Asker, asker, chosen_filters, complete_words, guarded
from pistats.glossary import GLOSSARY
from pistats.reports.retention import RetentionQuery
from pistats.reports.retention_cells import is_counted
from pistats.reports.retention_visitors import CellQuery

KEY = "retention_grid"

GRANULARITIES = {"day": "Days", "week": "Weeks", "month": "Months"}
LENGTHS = {"day": (7, 14, 30), "week": (6, 12, 26), "month": (6, 12, 24)}
"""How many cohorts one may choose to see; the middle one to begin with."""

MODES = {"first": "First", "recurring": "Recurring"}
RETURNS = {"on": "On", "on_or_after": "On or after"}

UNFILTERED = "The filters of History do not apply here: a cohort has everyone who came."

REFRESH_S = 2
"""The grid asks again this often. Nothing moves when nothing changed."""


def show() -> None:
    """Draws the page for the site and the choices in the address."""
    asked = asker()
    if asked is None:
        return
    with st.container(horizontal=True, vertical_alignment="top", key="retention_controls"):
        granularity: Any = query_state.choose("By", GRANULARITIES, "by", "week", label_visibility="visible")
        cohorts = _pick_range(granularity)
        says = {key: GLOSSARY[f"retention_{key}"].definition for key in ("mode", "return")}
        mode: Any = query_state.choose("Cohort", MODES, "mode", "first", label_visibility="visible", help=says["mode"])
        returns: Any = query_state.choose(
            "Return", RETURNS, "return", "on", label_visibility="visible", help=says["return"]
        )
        names = event_names_soon(asked) if is_first(KEY) else guarded(lambda: event_names(asked)) or []
        event = pick_event("Did first", names, "event", "Any event")
        return_event = pick_event("Came back to", names, "return_event", "Any event")
    query = RetentionQuery(
        from_date=_first_day(granularity, cohorts, asked.now.date()),
        to_date=asked.now.date(),
        granularity=granularity,
        mode=mode,
        returns=returns,
        event=event,
        return_event=return_event,
    )
    shape_first(KEY, lambda: _shape(query, cohorts, asked.site.timezone))
    _grid(asked, query)
    if asked.can_see_people and (cell := _chosen_cell()):
        guarded(lambda: _people(asked, query, *cell))


def _shape(query: RetentionQuery, cohorts: int, timezone: str) -> None:
    with as_fragment():
        COHORTS.show(KEY, loading_cohorts(query, cohorts, counting_words(timezone)))


def _pick_range(granularity: str) -> int:
    """How many cohorts."""
    lengths = LENGTHS[granularity]
    unit = GRANULARITIES[granularity].lower()
    options = {str(number): f"Last {number} {unit}" for number in lengths}
    return int(
        query_state.choose(
            "Range", options, "last", str(lengths[1]), kind="select", label_visibility="visible", width=150
        )
    )


def _first_day(granularity: str, number: int, today: date) -> date:
    """Of the first one of so many cohorts. The last one is under way."""
    if granularity == "day":
        return today - timedelta(days=number - 1)
    if granularity == "week":
        return today - timedelta(days=today.weekday(), weeks=number - 1)
    months = today.year * 12 + today.month - number
    return date(months // 12, months % 12 + 1, 1)


@st.fragment(run_every=REFRESH_S)
def _grid(asked: Asker, query: RetentionQuery) -> None:
    """Draws itself again with every refresh; a click on a cell draws the whole page."""
    chosen = _chosen_cell()
    picked = f"{chosen[0]}.{chosen[1]}" if chosen else ""
    note = UNFILTERED if chosen_filters() else ""

    def draw() -> Any:
        # Cells that move with every commit answer the plain question; for any other, events are counted.
        counted = "retention_now" if is_counted(query) else "retention"
        report = asked.answer(counted, query, fresh_ms=REFRESH_S * 500)
        fresh = complete_words(report.complete_through, asked)
        return COHORTS.show(
            KEY,
            cohorts_data(query, report, picked, clicks=asked.can_see_people, fresh=fresh, note=note),
            cell=lambda key: query_state.put({"cell": None if key == picked else str(key)}),
        )

    said = guarded(draw)
    if said is not None and said.cell is not None:
        st.rerun()


def _chosen_cell() -> tuple[date, int] | None:
    start, _, n = query_state.value("cell").partition(".")
    try:
        return date.fromisoformat(start), int(n)
    except ValueError:
        return None


def _people(asked: Asker, query: RetentionQuery, start: date, n: int) -> None:
    answer = asked.answer("retention_visitors", CellQuery(query, start, n))
    data = cell_people_data(asked.site.name, asked.timezone, query, start, n, answer)
    show_people("cell_visitors", asked.site.name, data)

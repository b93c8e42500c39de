"""Funnel: how many take each step, one after the other, and how long it takes them."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import query_state
from dashboard.event_picker import event_names, event_names_soon
from dashboard.filters import Filter, condition
from dashboard.first_draw import is_first, say_counting, shape_first
from dashboard.funnel_steps import Step, condition_words, default_steps, edit_steps, parse_steps
from dashboard.periods import Days
from dashboard.question import Asker, asker, chosen_filters, guarded, pick_days, say_complete, show_filters
from dashboard.steps_element import STEPS, loading_steps, steps_data
from pistats.glossary import GLOSSARY
from pistats.reports.funnel import FunnelQuery, FunnelStep

KEY = "funnel_result"

WINDOWS = {
    "1800": "within 30 minutes",
    "3600": "within 1 hour",
    "86400": "within 1 day",
    "604800": "within 7 days",
    "2592000": "within 30 days",
}
ORDERS = {"ordered": "In this order", "strict": "Directly", "any": "In any order"}


def show() -> None:
    """Draws the page for the site, the days and the steps in the address."""
    asked = asker()
    if asked is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="funnel_controls"):
        days = pick_days(asked.now)
        says = GLOSSARY["funnel_order"].definition
        order: Any = query_state.choose("Order", ORDERS, "order", "ordered", help=says)
        window = query_state.choose("Within", WINDOWS, "within", "86400", kind="select", width=180)
        freshness = st.container(width="stretch", key="freshness")
    filters = [one for one in chosen_filters() if one.dimension != "event"]  # the steps say which events
    show_filters(filters)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        names = event_names_soon(asked) if is_first(KEY) else guarded(lambda: event_names(asked)) or []
        steps = parse_steps(query_state.values("step")) or default_steps(names)
        edit_steps(steps, names)
    with right:
        query = _query(days, steps, window, order, filters)
        if query_state.values("step"):
            asked.begin(("funnel", query))
        said = [(step.event, condition_words(step)) for step in steps]
        if filters:
            said[0] = (said[0][0], f"{said[0][1]} as filtered".strip())
        shape_first(KEY, lambda: _shape(said, freshness, asked.site.timezone))
        guarded(lambda: _result(asked, said, query, WINDOWS[window], freshness))


def _shape(names: Sequence[tuple[str, str]], freshness: Any, timezone: str) -> None:
    say_counting(freshness, timezone)
    STEPS.show(KEY, loading_steps(names))


def _query(days: Days, steps: tuple[Step, ...], window: str, order: Any, filters: Sequence[Filter]) -> FunnelQuery:
    """Filters choose who takes the first step: what became of them is the question, also where they came back."""
    first, *others = (step.condition() for step in steps)
    wheres = (_both(condition(filters), first), *others)
    return FunnelQuery(
        steps=tuple(FunnelStep(step.event, where) for step, where in zip(steps, wheres, strict=True)),
        from_date=days.first,
        to_date=days.last,
        window_s=int(window),
        order=order,
    )


def _both(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    return {"all": [one, other]} if one and other else one or other


def _result(asked: Asker, names: Sequence[tuple[str, str]], query: FunnelQuery, window: str, freshness: Any) -> None:
    report = asked.answer("funnel", query)
    with freshness:
        say_complete(report.complete_through, asked)
    STEPS.show(KEY, steps_data(names, report, window))

"""Visitor: everything that one visitor did, to look at, to export and to erase."""

from typing import Any

import streamlit as st

from dashboard import query_state
from dashboard.element import LOADING
from dashboard.first_draw import say_counting, shape_first
from dashboard.people_element import people_data, person, show_people
from dashboard.question import Asker, asker, guarded, say_complete
from dashboard.services import services
from dashboard.timeline_element import TIMELINE, timeline_data
from dashboard.visitor_actions import erase_button, export_button
from pistats.warehouse.tombstones import erased_time_of

KEY = "visitor_timeline"
MAX_ID_CHARS = 128


def show() -> None:
    """Draws the page for the visitor in the address, or who has been there lately."""
    asked = asker()
    if asked is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="visitor_controls"):
        visitor_id = query_state.typed(
            "Visitor id",
            "id",
            max_chars=MAX_ID_CHARS,
            label_visibility="collapsed",
            placeholder="Visitor id",
            width=420,
        )
        freshness = st.container(width="stretch", key="freshness")
        actions = st.container(horizontal=True, width="content", key="visitor_actions")
    if not visitor_id:
        _recent(asked)
        return
    shape_first(KEY, lambda: _shape(freshness, asked.site.timezone))
    guarded(lambda: _visitor(asked, visitor_id, freshness, actions))


def _shape(freshness: Any, timezone: str) -> None:
    say_counting(freshness, timezone)
    TIMELINE.show(KEY, LOADING)


def _visitor(asked: Asker, visitor_id: str, freshness: Any, actions: Any) -> None:
    report = asked.answer("visitor", visitor_id, fresh_ms=0)
    with freshness:
        say_complete(report.complete_through, asked)
    if report.totals.first_time is not None:
        with actions:
            export_button(asked, report)
            erase_button(asked, visitor_id)
    erased_time = None if report.sessions else _erased_time(asked, visitor_id)
    TIMELINE.show(KEY, timeline_data(report, asked.timezone, erased_time))


def _erased_time(asked: Asker, visitor_id: str) -> int | None:
    return services().run(erased_time_of(services().system, asked.site.name, visitor_id))


def _recent(asked: Asker) -> None:
    """A place to begin: who sent the latest events."""
    feed = services().hub.snapshot_threadsafe(asked.site.name).get("feed", [])
    seen = {event["visitor_id"]: event for event in reversed(feed)}
    visitors = [
        person(asked.site.name, visitor, str(event.get("path") or event.get("name") or ""))
        for visitor, event in reversed(seen.items())
    ]
    show_people(
        "recent_visitors",
        asked.site.name,
        people_data(
            "Seen just now",
            "Click one, enter an id above, or come from a cell of the Retention page.",
            visitors,
            ["Nobody just now", "Enter a visitor's id above, or click a cell of the Retention page to find some."],
        ),
    )

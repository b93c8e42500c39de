"""Annotations on the history page: shown to everyone, added and removed by admins."""

from datetime import date
from typing import Any

import streamlit as st

from dashboard.periods import Days
from dashboard.question import Asker
from dashboard.services import services
from pistats.annotations import MAX_TEXT_CHARS, Annotation, AnnotationStore
from pistats.errors import InputError

DATE, TEXT, PROBLEM = "annotation_date", "annotation_text", "annotation_problem"


def _store() -> AnnotationStore:
    return AnnotationStore(services().system)


def annotations_of(asked: Asker, days: Days) -> list[Annotation]:
    """What people noted about these days."""
    return services().run(_store().between(asked.site.name, days.first, days.last))


def remove_annotation(asked: Asker, annotation_id: Any) -> None:
    """Takes one away. The browser asks; whether it may is decided here."""
    if asked.can_edit:
        services().run(_store().remove(asked.site.name, str(annotation_id)))


def annotate_button(asked: Asker, days: Days) -> None:
    """The form for a new annotation; nothing for those who may not add one."""
    if not asked.can_edit:
        return
    with st.popover("Annotate", icon=":material/add_comment:", help="Note what happened on a day"):
        st.date_input(
            "Day", key=DATE, value=min(asked.now.date(), days.last), max_value=asked.now.date(), format="YYYY-MM-DD"
        )
        st.text_input("What happened", key=TEXT, max_chars=MAX_TEXT_CHARS, placeholder="Newsletter sent")
        st.button("Add", type="primary", on_click=_add, args=(asked,))
        if problem := st.session_state.pop(PROBLEM, None):
            st.text(problem)


def _add(asked: Asker) -> None:
    on = st.session_state.get(DATE)
    if not isinstance(on, date) or not asked.can_edit:
        return
    try:
        services().run(_store().add(asked.site.name, on, st.session_state.get(TEXT, "")))
        st.session_state[TEXT] = ""
    except InputError as error:
        st.session_state[PROBLEM] = str(error)

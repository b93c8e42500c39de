"""What may be done with a visitor: everything about it in a file, or nothing of it left."""

from datetime import datetime

import orjson
import streamlit as st

from dashboard.question import Asker
from dashboard.services import services
from pistats.reports.events import MAX_EVENTS, EventsQuery
from pistats.reports.visitor import VisitorReport
from pistats.warehouse.erase import request_erasure

MAX_PAGES = 20
"""200,000 events: no person has more, and a file of it is some 200 MB."""


def export_button(asked: Asker, report: VisitorReport) -> None:
    """Downloads every event of the visitor as NDJSON. Made when it is clicked."""
    st.download_button(
        "Export",
        lambda: events_of(asked, report),
        "visitor.ndjson",
        "application/x-ndjson",
        icon=":material/download:",
        key="visitor_export",
        on_click="ignore",
        help="Every event of this visitor, one JSON object a line",
    )


def events_of(asked: Asker, report: VisitorReport) -> bytes:
    """Every event of the visitor in event time, one JSON object a line."""
    first = report.totals.first_time
    from_date = datetime.fromtimestamp((first or 0) / 1000, asked.timezone).date() if first else asked.now.date()
    lines: list[bytes] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        query = EventsQuery(
            from_date=from_date, to_date=asked.now.date(), visitor=report.visitor_id, limit=MAX_EVENTS, cursor=cursor
        )
        page = asked.answer("events", query, fresh_ms=0)
        lines += [orjson.dumps(event) for event in page.events]
        cursor = page.next_cursor
        if cursor is None:
            break
    return b"".join(line + b"\n" for line in lines)


def erase_button(asked: Asker, visitor_id: str) -> None:
    """For admins: asks once more, then erases."""
    if asked.can_edit and st.button("Erase", icon=":material/delete:", key="visitor_erase", help="Leave no trace"):
        _confirm(asked, visitor_id)


@st.dialog("Erase this visitor?")
def _confirm(asked: Asker, visitor_id: str) -> None:
    st.text(visitor_id)
    st.write(
        "Nobody sees this visitor from now on, and every event goes from the live data and the files within minutes. "
        "History is counted again without them. This cannot be undone."
    )
    if st.button("Erase", type="primary", key="visitor_erase_confirmed", on_click=erase, args=(asked, visitor_id)):
        st.rerun()


def erase(asked: Asker, visitor_id: str) -> None:
    """Hides the visitor at once and has everything removed. What arrives later is a new visitor with an old id."""
    if asked.can_edit:
        services().run(_erase(asked.site.name, visitor_id))


async def _erase(site: str, visitor_id: str) -> None:
    await request_erasure(services().system, site, visitor_id)
    services().answers.forget()

"""The names of a site's events as a choice. They are hostile text: a select shows its options as they are."""

from collections.abc import Sequence
from datetime import timedelta

from dashboard import query_state
from dashboard.question import Asker
from pistats.reports.history import HistoryQuery

ANY = ""
LOOK_BACK_DAYS = 30
MAX_NAMES = 100


def event_names(asked: Asker) -> list[str]:
    """The names of the last 30 days, the most frequent first."""
    rows = asked.answer("history", _names(asked), fresh_ms=60_000).rows
    return [str(row[0]) for row in rows if row[0] is not None]


def event_names_soon(asked: Asker) -> list[str]:
    """None yet: asks for the names without waiting, for a page that draws its shape."""
    asked.begin(("history", _names(asked)))
    return []


def _names(asked: Asker) -> HistoryQuery:
    today = asked.now.date()
    return HistoryQuery(
        from_date=today - timedelta(days=LOOK_BACK_DAYS - 1),
        to_date=today,
        metrics=("events",),
        by=("event",),
        limit=MAX_NAMES,
    )


def pick_event(label: str, names: Sequence[str], name: str, any_event: str) -> str | None:
    """Draws the choice, in the address as `name`; None: any event. A name that nobody sent lately stays choosable."""
    asked = query_state.value(name)
    options = {ANY: any_event, **{one: one for one in (*([asked] if asked else []), *names)}}
    chosen = query_state.choose(label, options, name, ANY, kind="select", label_visibility="visible", width=210)
    return chosen or None

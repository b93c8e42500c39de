"""Visitors as links to their pages."""

from collections.abc import Sequence
from datetime import date, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from dashboard.cohorts_element import UNITS, cohort_label
from dashboard.element import Data, Element
from dashboard.navigation import go
from pistats import format as fmt
from pistats.reports.retention import RetentionQuery
from pistats.reports.retention_visitors import CellVisitors

PEOPLE = Element("people")


def person(site: str, visitor_id: str, says: str) -> Data:
    """One link. Opened by the page itself, or by the browser in a tab of its own."""
    link = "/visitor?" + urlencode({"site": site, "id": visitor_id})
    return {"id": visitor_id, "name": visitor_id, "says": says, "link": link}


def people_data(title: str, says: str, visitors: Sequence[Data], empty: Sequence[str]) -> Data:
    """The element's data."""
    return {"title": title, "says": says, "visitors": list(visitors), "empty": list(empty)}


def cell_people_data(
    site: str, timezone: ZoneInfo, query: RetentionQuery, start: date, n: int, answer: CellVisitors
) -> Data:
    """The visitors of one cell of the retention grid."""
    shown = [person(site, visitor, _seen(seen, timezone)) for visitor, seen in answer.visitors]
    more = f", the first {len(shown):,} shown" if answer.total > len(shown) else ""
    return people_data(
        f"{cohort_label(start, query.granularity)} · {UNITS[query.granularity].lower()} {n}",
        f"{fmt.exact(answer.total)} visitor{'' if answer.total == 1 else 's'}{more}",
        shown,
        ["Nobody", "No visitor of this cohort came back in this period."],
    )


def _seen(time_ms: int | None, timezone: ZoneInfo) -> str:
    if time_ms is None:
        return ""
    time = datetime.fromtimestamp(time_ms / 1000, timezone)
    return f"last seen {time.day} {time:%b %H:%M}"


def show_people(key: str, site: str, data: Data) -> None:
    """Draws the links; a click goes to the visitor's page."""
    opened = PEOPLE.show(key, data, open=lambda _: None).open
    if opened is not None:
        go("visitor", {"site": site, "id": str(opened)})

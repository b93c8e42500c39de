"""One visitor: facts, and every session with its events in the order in which they happened."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.element import Data, Element
from pistats import format as fmt
from pistats.glossary import GLOSSARY
from pistats.reports.visitor import VisitorReport, VisitorSession

TIMELINE = Element("timeline")

MAX_SESSIONS = 50
MAX_PROPERTIES = 100
"""As many as an event may have."""

MAX_VALUE_CHARS = 300

MAX_INLINE, MAX_INLINE_CHARS = 3, 60
"""So few properties, and so short, stand beside their event; more are one click away."""

MAX_ENGAGED_MS = 86_400_000
"""More than a session lasts is no time that anyone spent."""

TRAITS = ("country", "city", "device", "browser", "os", "language")


def timeline_data(report: VisitorReport, timezone: ZoneInfo, erased_time: int | None = None) -> Data:
    """The element's data. Everything that was sent by a client is text in it, and stays text.

    `erased_time`: when a visitor of whom nothing is there was erased, in Unix ms.
    """
    by_session: dict[str | None, list[dict[str, Any]]] = {}
    for event in report.timeline:
        by_session.setdefault(event.get("session_id"), []).append(event)
    sessions = report.sessions[:MAX_SESSIONS]
    return {
        "facts": _facts(report, timezone),
        "sessions": [_session(session, by_session.get(session.session_id, []), timezone) for session in sessions],
        "empty": None if report.sessions else _nothing(erased_time, timezone),
    }


def _nothing(erased_time: int | None, timezone: ZoneInfo) -> list[str]:
    if erased_time is not None:
        return [
            f"Erased on {_moment(erased_time, timezone)}",
            "Nothing of this visitor is shown any more, and the files follow within minutes. "
            "What is sent under this id from now on is a new visitor.",
        ]
    return [
        "This visitor is not known",
        "Ids are case-sensitive. An id that was right may be older than what this site keeps.",
    ]


def _facts(report: VisitorReport, timezone: ZoneInfo) -> list[Data]:
    totals = report.totals
    if totals.first_time is None:
        return []
    engaged = fmt.duration(totals.engaged_ms / 1000)
    facts = [
        _fact("Sessions", fmt.exact(totals.sessions), "session", key="sessions"),
        _fact("Views", fmt.exact(totals.views), "view", key="views"),
        _fact("Events", fmt.exact(totals.events), "event_count", key="events"),
        _fact("Engaged time", engaged, "engaged_time", key="engaged"),
        _fact("First seen", _moment(totals.first_time, timezone), small=True),
        _fact("Last seen", _moment(totals.last_time, timezone), small=True),
    ]
    if report.user_id:
        facts.append(_fact("User", report.user_id, small=True))
    who = [[name, str(report.traits[name])] for name in TRAITS if report.traits.get(name)]
    return [*facts, {**_fact("Last from", "", small=True), "parts": who}] if who else facts


def _fact(name: str, value: str, term: str = "", *, key: str = "", small: bool = False) -> Data:
    definition = GLOSSARY[term].definition if term else ""
    return {"name": name, "value": value, "definition": definition, "key": key, "small": small}


def _session(session: VisitorSession, events: Sequence[dict[str, Any]], timezone: ZoneInfo) -> Data:
    missing = session.events - len(events)
    length = "bounced" if session.bounce else fmt.duration(session.duration_ms / 1000)
    came = session.source or ("Direct" if session.channel in (None, "Direct") else session.channel)
    via = [came, session.campaign, session.channel if session.channel != came else None]
    return {
        "start": _moment(session.start, timezone),
        "from": "from " + " · ".join(str(part) for part in via if part),
        "says": f"{length} · {_count(session.views, 'view')} · {_count(session.events, 'event')}",
        "events": [_event(event, timezone) for event in events],
        "missing": f"{_count(missing, 'older event')} not shown; the export has them all." if missing > 0 else "",
    }


def _event(event: dict[str, Any], timezone: ZoneInfo) -> Data:
    properties, engaged = _flat(event.get("properties")), _engaged(event)
    if engaged:
        properties = [(name, value) for name, value in properties if name != "engaged_ms"]
    return {
        "time": f"{datetime.fromtimestamp(event['event_time'] / 1000, timezone):%H:%M:%S}",
        "name": engaged or (None if event["name"] == "page_view" else event["name"]),
        "quiet": bool(engaged),
        "where": event.get("path") or event.get("url") or ("–" if event["name"] == "page_view" else ""),
        "title": event.get("title"),
        "properties": properties,
        "inline": len(properties) <= MAX_INLINE
        and sum(len(name + value) for name, value in properties) <= MAX_INLINE_CHARS,
        "properties_say": f"{_count(len(properties), 'property', 'properties')}",
    }


def _engaged(event: dict[str, Any]) -> str:
    """What the tracker says by itself while a page is looked at, in words."""
    properties = event.get("properties")
    told = properties.get("engaged_ms") if event["name"] == "engagement" and isinstance(properties, dict) else None
    known = isinstance(told, (int, float)) and not isinstance(told, bool) and 0 <= told <= MAX_ENGAGED_MS
    return f"engaged {fmt.duration(told / 1000)}" if known and told is not None else ""


def _flat(properties: Any) -> list[tuple[str, str]]:
    if not isinstance(properties, dict):
        return []
    shown = list(properties.items())[:MAX_PROPERTIES]
    return [(str(name), _text(value)[:MAX_VALUE_CHARS]) for name, value in shown]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _moment(time_ms: int | None, timezone: ZoneInfo) -> str:
    if time_ms is None:
        return fmt.NOTHING
    time = datetime.fromtimestamp(time_ms / 1000, timezone)
    return f"{fmt.weekday(time)}, {time:%H:%M}"


def _count(number: int, word: str, plural: str = "") -> str:
    return f"{fmt.exact(number)} {word if number == 1 else plural or word + 's'}"

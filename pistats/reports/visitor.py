"""One visitor: the sessions, the totals and the latest events."""

from dataclasses import dataclass
from typing import Any

from pistats.enrich.event import EnrichedEvent


@dataclass(frozen=True, slots=True)
class VisitorSession:
    """One session. Times are Unix ms of event time; durations are ms, 0 for a bounce."""

    session_id: str
    start: int
    end: int
    events: int
    views: int
    bounce: bool
    duration_ms: int
    engaged_ms: int
    entry_page: str | None
    exit_page: str | None
    source: str | None
    channel: str | None
    campaign: str | None


@dataclass(frozen=True, slots=True)
class VisitorTotals:
    """Over everything that is kept of the visitor, bots' events left out. `first_time` is None: never seen."""

    events: int
    views: int
    sessions: int
    engaged_ms: int
    first_time: int | None
    last_time: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitorReport:
    """`sessions` newest first, `timeline` the newest events, oldest first. `traits`: the latest known."""

    visitor_id: str
    user_id: str | None
    traits: dict[str, Any]
    totals: VisitorTotals
    sessions: tuple[VisitorSession, ...]
    timeline: tuple[EnrichedEvent, ...]
    complete_through: int | None

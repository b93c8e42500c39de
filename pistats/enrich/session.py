"""Sessions in event time: which visit an event belongs to, and what each visit adds up to."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from xxhash import xxh3_64_hexdigest

from pistats.enrich.event import EnrichedEvent

GAP_MS = 30 * 60_000
"""A session ends when this passes without an event; a gap of exactly this much does not end it."""

CAP_MS = 24 * 3_600_000
"""No session is longer: a page that reloads itself is not one visit for ever."""

BOUNCE_MS = 10_000
"""A single view that was looked at for so long is no bounce."""

PAGE_VIEW = "page_view"
ENGAGEMENT = "engagement"
SILENT = frozenset({ENGAGEMENT, "identify"})
"""Sent by the tracker itself: they say that a visitor is here, and are counted as nothing else."""
PASSIVE = SILENT | {PAGE_VIEW}
"""Events that the tracker sends without being told to; any other is an interaction."""


@dataclass(slots=True)
class Visit:
    """One session of one visitor, as far as it is known. Times are Unix ms of event time.

    Entry and exit are the earliest and latest page view, the source is that of the earliest arrival. Only `follow`
    changes a visit: making a new one for every event would be most of what sessions cost.
    """

    session_id: str
    start: int
    end: int
    events: int = 0
    views: int = 0
    interactive: bool = False
    engaged_ms: int = 0
    entry_time: int | None = None
    entry_page: str | None = None
    exit_time: int | None = None
    exit_page: str | None = None
    arrival_time: int | None = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    channel: str | None = None

    @property
    def duration_ms(self) -> int:
        """Length of the visit; 0 for a bounce."""
        return 0 if self.bounce else self.end - self.start

    @property
    def bounce(self) -> bool:
        """One page view, no interactive event and under 10 s."""
        return self.views == 1 and not self.interactive and self.end - self.start < BOUNCE_MS

    def follows(self, time: int) -> bool:
        """Whether an event of this time simply comes next: after everything known, in this visit."""
        return self.end < time <= self.end + GAP_MS and time - self.start <= CAP_MS

    def follow(self, event: EnrichedEvent) -> None:
        """Add an event that `follows`: the same as `merge(visit_of(event))`, at a fifth of the price."""
        time = event["event_time"]
        self.end = time
        self.events += 1
        name = event["name"]
        if name == PAGE_VIEW:
            self._view(time, event)
        elif name == ENGAGEMENT:
            self.engaged_ms += engaged_ms_of(event)
        elif name not in PASSIVE:
            self.interactive = True

    def _view(self, time: int, event: EnrichedEvent) -> None:
        self.views += 1
        path = event["path"]
        if path:
            if self.entry_time is None:
                self.entry_time, self.entry_page = time, path
            self.exit_time, self.exit_page = time, path
        if self.arrival_time is None and event["channel"] is not None:
            self.arrival_time = time
            self.source, self.medium = event["source"], event["medium"]
            self.campaign, self.channel = event["campaign"], event["channel"]

    def merge(self, other: "Visit") -> "Visit":
        """Both as one visit, under the name of the one that began first. Commutative and associative."""
        first = min(self, other, key=lambda visit: (visit.start, visit.session_id))
        entry = _first(self.entry_time, self.entry_page, other.entry_time, other.entry_page)
        arrived = _arrived_first(self, other)
        leave = _last(self.exit_time, self.exit_page, other.exit_time, other.exit_page)
        return Visit(
            session_id=first.session_id,
            start=first.start,
            end=max(self.end, other.end),
            events=self.events + other.events,
            views=self.views + other.views,
            interactive=self.interactive or other.interactive,
            engaged_ms=self.engaged_ms + other.engaged_ms,
            entry_time=entry[0],
            entry_page=entry[1],
            exit_time=leave[0],
            exit_page=leave[1],
            arrival_time=arrived.arrival_time,
            source=arrived.source,
            medium=arrived.medium,
            campaign=arrived.campaign,
            channel=arrived.channel,
        )


def visit_to_array(visit: Visit) -> tuple[Any, ...]:
    """A visit as it is stored: the values of its fields, in their order. `Visit(*array)` reads it."""
    array: tuple[Any, ...] = _values(visit)
    return array


_values = attrgetter(*(field.name for field in fields(Visit)))


def visit_of(event: EnrichedEvent) -> Visit:
    """A visit of this one event. Its id follows from the event, so a replay gives the same."""
    name, time = event["name"], event["event_time"]
    viewed = name == PAGE_VIEW
    arrived = viewed and event["channel"] is not None
    path = event["path"]
    return Visit(
        session_id=xxh3_64_hexdigest(f"{event['site']}\x1f{event['visitor_id']}\x1f{event['event_id']}".encode()),
        start=time,
        end=time,
        events=1,
        views=int(viewed),
        interactive=name not in PASSIVE,
        engaged_ms=engaged_ms_of(event),
        entry_time=time if viewed and path else None,
        entry_page=path if viewed and path else None,
        exit_time=time if viewed and path else None,
        exit_page=path if viewed and path else None,
        arrival_time=time if arrived else None,
        source=event["source"] if arrived else None,
        medium=event["medium"] if arrived else None,
        campaign=event["campaign"] if arrived else None,
        channel=event["channel"] if arrived else None,
    )


def engaged_ms_of(event: EnrichedEvent) -> int:
    """Engaged time that an `engagement` event reports, in ms; never more than a day."""
    properties = event["properties"]
    reported = properties.get("engaged_ms") if properties and event["name"] == ENGAGEMENT else None
    if isinstance(reported, int | float) and 0 <= reported <= CAP_MS:
        return int(reported)
    return 0


def place(visits: Sequence[Visit], new: Visit) -> tuple[tuple[Visit, ...], Visit]:
    """The visits with a new one among them, oldest first, and the visit that it became part of.

    Visits join when the gap between them is at most 30 minutes and the whole at most 24 hours. Late events may join two
    visits into one. Up to the cap, every order of the same events gives the same visits.
    """
    joined = new
    apart: list[Visit] = []
    for visit in sorted(visits, key=lambda visit: visit.start):
        if _near(visit, joined):
            joined = visit.merge(joined)
        else:
            apart.append(visit)
    return tuple(sorted((*apart, joined), key=lambda visit: visit.start)), joined


def _near(a: Visit, b: Visit) -> bool:
    """True when two visits are one: no gap above 30 minutes between them, and 24 hours at most together."""
    gap = max(a.start, b.start) - min(a.end, b.end)
    return gap <= GAP_MS and max(a.end, b.end) - min(a.start, b.start) <= CAP_MS


def _first(a_time: int | None, a: str | None, b_time: int | None, b: str | None) -> tuple[int | None, str | None]:
    known = [(time, page) for time, page in ((a_time, a), (b_time, b)) if time is not None and page is not None]
    return min(known, default=(None, None))


def _last(a_time: int | None, a: str | None, b_time: int | None, b: str | None) -> tuple[int | None, str | None]:
    known = [(time, page) for time, page in ((a_time, a), (b_time, b)) if time is not None and page is not None]
    return max(known, default=(None, None))


def _arrived_first(a: Visit, b: Visit) -> Visit:
    """The one with the earlier arrival, which names the source. Ties go by text, so that the order does not matter."""

    def key(visit: Visit) -> tuple[bool, int, str, str, str, str]:
        time = visit.arrival_time
        texts = (visit.source, visit.medium, visit.campaign, visit.channel)
        return (time is None, time or 0, *(text or "" for text in texts))  # type: ignore[return-value]

    return min(a, b, key=key)

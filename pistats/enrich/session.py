"""Sessions in event time: which visit an event belongs to, and what each visit adds up to."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from xxhash import xxh3_64_hexdigest

from pistats.enrich.event import EnrichedEvent

GAP_MS = 30 * 60_000
"""A session ends when this passes without an event; a gap of exactly this much does not end it."""

CAP_MS = 24 * 3_600_000
"""No session is longer: a page that reloads itself is not one visit for ever."""

BOUNCE_MS = 10_000
"""A single view that was looked at for so long is no bounce."""

KEPT_VISITS = 8
"""Visits remembered per visitor for late events; the warehouse knows them all."""

PAGE_VIEW = "page_view"
ENGAGEMENT = "engagement"
PASSIVE = frozenset({PAGE_VIEW, ENGAGEMENT, "identify"})
"""Events that the tracker sends by itself; any other is an interaction."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One session of one visitor, as far as it is known. Times are Unix ms of event time.

    Entry and exit are the earliest and latest page view, the source is that of the earliest arrival.
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
        entry_page=path if viewed else None,
        exit_time=time if viewed and path else None,
        exit_page=path if viewed else None,
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


class Sessions:
    """Gives the events of one partition their `session_id` and `entry_page`, and keeps each visitor's recent visits.

    Used in the same cycle as `LiveBuckets`: `missing`, `load`, `fold`, `documents`, `committed`; `clear` after a failed
    commit. Bots have no sessions. `exit_page` stays null: it is known when a visit is over, in the warehouse.
    """

    def __init__(self) -> None:
        self._visits: dict[tuple[str, str], tuple[Visit, ...]] = {}
        self._touched: set[tuple[str, str]] = set()
        self._newest = 0

    def missing(self, events: Iterable[EnrichedEvent]) -> list[dict[str, Any]]:
        """The `_id`s of visitors to read before folding."""
        visitors = {(event["site"], event["visitor_id"]) for event in events if not event["is_bot"]}
        return [_id(visitor) for visitor in sorted(visitors - self._visits.keys())]

    def load(self, documents: Iterable[dict[str, Any]]) -> None:
        """Takes up stored visitors. One that is in memory already stays as it is."""
        for document in documents:
            visitor = (document["_id"]["site"], document["_id"]["visitor_id"])
            self._visits.setdefault(visitor, tuple(Visit(**visit) for visit in document["visits"]))

    def fold(self, events: Sequence[EnrichedEvent]) -> set[tuple[str, str]]:
        """Places the events in order, and writes `session_id` and `entry_page` into them; the visitors touched."""
        touched: set[tuple[str, str]] = set()
        for event in events:
            if event["is_bot"]:
                continue
            visitor = (event["site"], event["visitor_id"])
            visits, visit = _placed(self._visits.get(visitor, ()), event)
            self._visits[visitor] = visits[-KEPT_VISITS:]
            event["session_id"] = visit.session_id
            event["entry_page"] = visit.entry_page
            self._newest = max(self._newest, event["event_time"])
            touched.add(visitor)
        self._touched |= touched
        return touched

    def visits(self, site: str, visitor_id: str) -> tuple[Visit, ...]:
        """The remembered visits of a visitor, oldest first."""
        return self._visits.get((site, visitor_id), ())

    def documents(self) -> list[dict[str, Any]]:
        """A whole document per visitor touched since the last `committed()`."""
        return [
            {"_id": _id(visitor), "visits": [asdict(visit) for visit in self._visits[visitor]]}
            for visitor in sorted(self._touched)
        ]

    def committed(self) -> None:
        """What was touched is stored: forgets visitors whose last visit is over."""
        self._touched.clear()
        over = self._newest - GAP_MS
        self._visits = {visitor: visits for visitor, visits in self._visits.items() if visits[-1].end >= over}

    def clear(self) -> None:
        """Forgets everything, stored or not."""
        self._visits.clear()
        self._touched.clear()
        self._newest = 0


def _placed(visits: tuple[Visit, ...], event: EnrichedEvent) -> tuple[tuple[Visit, ...], Visit]:
    """`place`, with a short way for the usual case: the next event of the newest visit."""
    new = visit_of(event)
    if not visits:
        return (new,), new
    newest = visits[-1]
    if newest.start <= new.start and _near(newest, new):
        joined = newest.merge(new)
        return (*visits[:-1], joined), joined
    return place(visits, new)


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


def _id(visitor: tuple[str, str]) -> dict[str, Any]:
    return {"site": visitor[0], "visitor_id": visitor[1]}

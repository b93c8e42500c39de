"""The visitors of one partition, in memory: their visits, their first event, the days on which they were active.

A document of `visitors`: `_id` {site, visitor_id}, `partition` (that wrote it last), `first_time` (Unix ms of the first
event ever), `first_day` (days since 1970-01-01, local to the site), `days` (see `ActiveDays.to_bytes`), `visits` (the
last few, oldest first, see `visit_to_array`), `erased_time` of one who came back after an erasure (Unix ms: nothing
that was received until then is in it), and `expires_at` of an id that we made ourselves. Bots are no visitors.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pistats.enrich.event import EnrichedEvent
from pistats.enrich.session import CAP_MS, GAP_MS, Visit, place, visit_of, visit_to_array
from pistats.identity import ANONYMOUS
from pistats.visitors.calendar import QUARTER_MS, LocalDays
from pistats.visitors.days import ActiveDays
from pistats.visitors.retention import RowChange, changes_of

KEPT_VISITS = 8
"""Visits remembered per visitor for late events; the warehouse knows them all."""

KEPT_VISIT_MS = CAP_MS + GAP_MS
"""A visit that ended so long before the newest one began is not remembered: no event in between joins them."""

KEPT_ANONYMOUS_DAYS = 8
"""After its last active day, an id that changes every day is of no use: nobody returns under it. Without an end, such
ids would fill MongoDB for ever. Longer than the log is kept, so that what is late or replayed finds its visitor."""

DAY_S = 86_400

VisitorKey = tuple[str, str]
"""Site and visitor id."""


class Visitor:
    """What is known of one visitor. Nothing, if `days` is None: not seen yet, or erased."""

    __slots__ = ("days", "erased_time", "first_time", "last_day", "visits")

    def __init__(self, erased_time: int = 0) -> None:
        self.erased_time = erased_time
        """Nothing that was received until then (Unix ms) is known here; 0: nothing was erased."""
        self.first_time: int | None = None
        self.days: ActiveDays | None = None
        self.last_day: int | None = None
        """The day of the event before: no need to look for it again."""
        self.visits: tuple[Visit, ...] = ()


class Visitors:
    """Gives events their `session_id` and `entry_page`, and collects what becomes of the retention cells.

    The cycle of a flush: `missing`, `load`, `fold`, `changes`, `documents` and `gone`, `committed`. `exit_page` of
    events stays null: it is known when a visit is over, in the warehouse.
    """

    def __init__(self, partition: int, days_of: Callable[[str], LocalDays], keep: int) -> None:
        """`days_of`: the local days of a site. `keep`: visitors in memory between flushes."""
        self._partition = partition
        self._days_of = days_of
        self._keep = keep
        self._known: dict[VisitorKey, Visitor] = {}  # those needed last are last
        self._touched: dict[VisitorKey, Visitor] = {}
        self._changes: list[RowChange] = []

    def missing(self, events: Iterable[EnrichedEvent], asked: Iterable[VisitorKey] = ()) -> list[dict[str, Any]]:
        """The `_id`s of visitors to read before folding these events, and before what is `asked` for."""
        visitors = {(event["site"], event["visitor_id"]) for event in events if not event["is_bot"]}
        visitors.update(asked)
        return [_id(visitor) for visitor in visitors - self._known.keys()]

    def load(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Takes up stored visitors. One that is in memory already stays as it is."""
        for document in documents:
            key = (document["_id"]["site"], document["_id"]["visitor_id"])
            if key not in self._known:
                self._known[key] = _visitor(document)

    def fold(self, events: Sequence[EnrichedEvent]) -> None:
        """Place the events in order, and write `session_id` and `entry_page` into them."""
        known, touched = self._known, self._touched
        site: str | None = None
        days: LocalDays
        for event in events:
            if event["is_bot"]:
                continue
            if site is None or event["site"] != site:
                site = str(event["site"])
                days = self._days_of(site)
            key = (site, event["visitor_id"])
            visitor = known.get(key)
            if visitor is None:
                visitor = known[key] = Visitor()
            time = event["event_time"]
            day = days[time // QUARTER_MS]
            if day != visitor.last_day:
                self._active(site, visitor, ActiveDays(day))
                visitor.last_day = day
            if visitor.first_time is None or time < visitor.first_time:
                visitor.first_time = time
            visit = _placed(visitor, event, time)
            event["session_id"] = visit.session_id
            event["entry_page"] = visit.entry_page
            touched[key] = visitor

    def merge(self, site: str, visitor_id: str, first_time: int, days: Iterable[int]) -> None:
        """Add what a backfill knows of a visitor: an earlier first event, more active days. It must be loaded."""
        visitor = self._known.setdefault((site, visitor_id), Visitor())
        self._active(site, visitor, ActiveDays.of(days))
        visitor.first_time = first_time if visitor.first_time is None else min(first_time, visitor.first_time)
        self._touched[site, visitor_id] = visitor

    def erase(self, site: str, visitor_id: str, erased_time: int) -> None:
        """Forget a visitor, and take it out of every cell. It must be loaded. Events after it begin a new visitor.

        Changes nothing when that has been done: what is known was received after `erased_time`.
        """
        visitor = self._known.setdefault((site, visitor_id), Visitor())
        if visitor.erased_time < erased_time:
            self._changes += changes_of(site, visitor.days, None)
            self._known[site, visitor_id] = self._touched[site, visitor_id] = Visitor(erased_time)

    def _active(self, site: str, visitor: Visitor, days: ActiveDays) -> None:
        before = visitor.days
        after = days if before is None else before.merge(days)
        if after != before:
            self._changes += changes_of(site, before, after)
            visitor.days = after

    def changes(self) -> list[RowChange]:
        """What has to change in the retention cells since this was asked last."""
        changes, self._changes = self._changes, []
        return changes

    def documents(self) -> list[dict[str, Any]]:
        """A whole document per visitor that was touched since the last `committed`."""
        return [
            self._document(key, visitor, visitor.days)
            for key, visitor in self._touched.items()
            if visitor.days is not None
        ]

    def _document(self, key: VisitorKey, visitor: Visitor, days: ActiveDays) -> dict[str, Any]:
        document = {
            "_id": _id(key),
            "partition": self._partition,
            "first_time": visitor.first_time,
            "first_day": days.first_day,
            "days": days.to_bytes(),
            "visits": [visit_to_array(visit) for visit in visitor.visits],
        }
        if visitor.erased_time:
            document["erased_time"] = visitor.erased_time
        if key[1].startswith(ANONYMOUS):
            document["expires_at"] = _expiry(days)
        return document

    def gone(self) -> list[dict[str, Any]]:
        """The `_id`s of visitors that were erased since the last `committed` and have not come back."""
        return [_id(key) for key, visitor in self._touched.items() if visitor.days is None]

    def committed(self) -> None:
        """What was touched is stored: forgets the visitors that were away for longest."""
        known = self._known
        for key, visitor in self._touched.items():
            del known[key]
            if visitor.days is not None:
                known[key] = visitor
        self._touched.clear()
        for key in list(islice(known, max(0, len(known) - self._keep))):
            del known[key]

    def forget(self) -> None:
        """Read every visitor again before it is next needed: another partition may have written it. Only between a
        `committed` and the next `missing`."""
        self._known.clear()

    def visits(self, site: str, visitor_id: str) -> tuple[Visit, ...]:
        """The remembered visits of a visitor, oldest first."""
        return self._known.get((site, visitor_id), Visitor()).visits


def _placed(visitor: Visitor, event: EnrichedEvent, time: int) -> Visit:
    """The visit that the event became part of; the usual case, the next event of the newest visit, comes first."""
    visits = visitor.visits
    if visits and visits[-1].follows(time):
        visits[-1].follow(event)
        return visits[-1]
    visits, visit = place(visits, visit_of(event))
    if len(visits) > 1:
        oldest = visits[-1].start - KEPT_VISIT_MS
        visits = tuple(one for one in visits[-KEPT_VISITS:] if one.end >= oldest)
    visitor.visits = visits
    return visit


def _visitor(document: Mapping[str, Any]) -> Visitor:
    visitor = Visitor(document.get("erased_time", 0))
    visitor.first_time = document["first_time"]
    visitor.days = ActiveDays.from_bytes(document["first_day"], document["days"])
    visitor.visits = tuple(Visit(*values) for values in document["visits"])
    return visitor


def _expiry(days: ActiveDays) -> datetime:
    """When an anonymous visitor may be forgotten. It follows from the events alone, so a replay gives the same."""
    return datetime.fromtimestamp((days.last_day + KEPT_ANONYMOUS_DAYS) * DAY_S, UTC)


def _id(visitor: VisitorKey) -> dict[str, Any]:
    return {"site": visitor[0], "visitor_id": visitor[1]}

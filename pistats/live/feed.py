"""The last events of each site in one partition, for people to watch."""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pistats.enrich.event import EnrichedEvent

FEED_FIELDS = (
    "event_id",
    "event_time",
    "name",
    "visitor_id",
    "host",
    "path",
    "title",
    "section",
    "source",
    "channel",
    "country",
    "city",
    "device",
    "browser",
    "os",
)
"""What the feed shows of an event."""

MAX_TEXT_CHARS = 200


class LiveFeed:
    """Keeps the newest events of each site; used in the same cycle as `LiveBuckets`. Bots are left out."""

    def __init__(self, partition: int, keep_events: int = 20) -> None:
        self._partition = partition
        self._keep_events = keep_events
        self._events: dict[str, deque[dict[str, Any]]] = {}
        self._touched: set[str] = set()

    def missing(self, events: Iterable[EnrichedEvent]) -> list[dict[str, Any]]:
        """The `_id`s of feeds to read before folding."""
        return self.missing_of({event["site"] for event in events if not event["is_bot"]})

    def missing_of(self, sites: Collection[str]) -> list[dict[str, Any]]:
        """The `_id`s of feeds to read before changing the feeds of these sites."""
        return [self._id(site) for site in sorted(set(sites) - self._events.keys())]

    def load(self, documents: Iterable[dict[str, Any]]) -> None:
        """Takes up stored feeds. One that is in memory already stays as it is."""
        for document in documents:
            site = document["_id"]["site"]
            if site not in self._events:
                self._events[site] = deque(document["events"], self._keep_events)

    def fold(self, events: Sequence[EnrichedEvent]) -> set[str]:
        """Adds the events in the order of the log; the sites touched."""
        by_site: dict[str, list[EnrichedEvent]] = {}
        for event in events:
            if not event["is_bot"]:
                by_site.setdefault(event["site"], []).append(event)
        for site, newest in by_site.items():
            feed = self._events.setdefault(site, deque(maxlen=self._keep_events))
            feed.extend(_shown(event) for event in newest[-self._keep_events :])
        touched = set(by_site)
        self._touched |= touched
        return touched

    def erase(self, site: str, visitor_id: str, erased_time: int) -> None:
        """Take out a visitor's events until then (Unix ms). The site's feed has to be loaded, if there is one."""
        shown = self._events.get(site, ())
        kept = [event for event in shown if event["visitor_id"] != visitor_id or event["event_time"] > erased_time]
        if len(kept) < len(shown):
            self._events[site] = deque(kept, self._keep_events)
            self._touched.add(site)

    def documents(self, touched: Collection[str] | None = None) -> list[dict[str, Any]]:
        """Whole documents, newest event last; by default of all sites touched since the last `committed()`."""
        sites = sorted(self._touched if touched is None else touched)
        return [{"_id": self._id(site), "events": list(self._events[site])} for site in sites]

    def committed(self) -> None:
        """What was touched is stored."""
        self._touched.clear()

    def clear(self) -> None:
        """Forgets everything, stored or not."""
        self._events.clear()
        self._touched.clear()

    def _id(self, site: str) -> dict[str, Any]:
        return {"site": site, "partition": self._partition}


def _shown(event: EnrichedEvent) -> dict[str, Any]:
    shown = {field: event[field] for field in FEED_FIELDS}
    for field, value in shown.items():
        if type(value) is str and len(value) > MAX_TEXT_CHARS:
            shown[field] = value[:MAX_TEXT_CHARS]
    return shown

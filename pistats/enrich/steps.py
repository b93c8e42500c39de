"""What happens to an event, in order: read `STEPS` and you know it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from pistats.enrich.bot import BotFilter
from pistats.enrich.domains import Domains
from pistats.enrich.event import EnrichedEvent, Failure, Reason, open_event
from pistats.enrich.event_time import event_time_of
from pistats.enrich.geo import NOWHERE, Geo
from pistats.enrich.language import language_of
from pistats.enrich.page import NO_PAGE, page_of
from pistats.enrich.referrers import Referrers
from pistats.enrich.source import Sources
from pistats.enrich.user_agent import UNKNOWN, browser_of

MAX_DETAIL_CHARS = 500


@dataclass(frozen=True, slots=True)
class EnrichContext:
    """What the steps look things up in: built once per process, shared by all batches, never changed."""

    bots: BotFilter
    sources: Sources
    geo: Geo

    @classmethod
    def standard(cls, geoip_db: Path | None = None) -> "EnrichContext":
        """From the installed and vendored data. Takes half a second: build it when the process starts.

        `geoip_db`: the user's own MMDB file instead of the vendored countries; `ConfigurationError` when unreadable.
        """
        domains = Domains()
        geo = Geo.open(geoip_db) if geoip_db else Geo.standard()
        return cls(BotFilter.standard(), Sources(Referrers.standard(domains), domains), geo)


def put_event_time(event: EnrichedEvent, _: EnrichContext) -> None:
    """`event_time`: by the server's clock, never after the receipt."""
    event["event_time"] = event_time_of(event["received_time"], event["time"], event["sent_at"])


def put_bot(event: EnrichedEvent, context: EnrichContext) -> None:
    """`is_bot`, `bot_name`. Bots are kept and flagged; reports leave them out."""
    user_agent = event["user_agent"]
    name = context.bots.name_of(user_agent) if user_agent else None
    event["is_bot"] = name is not None
    event["bot_name"] = name


def put_browser(event: EnrichedEvent, _: EnrichContext) -> None:
    """`browser`, `browser_version`, `os`, `os_version`, `device`."""
    user_agent = event["user_agent"]
    found = browser_of(user_agent) if user_agent else UNKNOWN
    event["browser"] = found.browser
    event["browser_version"] = found.browser_version
    event["os"] = found.os
    event["os_version"] = found.os_version
    event["device"] = found.device


def put_page(event: EnrichedEvent, _: EnrichContext) -> None:
    """`host`, `path`, `section`. A section given in the properties wins over the path's first folder."""
    url = event["url"]
    page = page_of(url) if url else NO_PAGE
    event["host"] = page.host
    event["path"] = page.path
    properties = event["properties"]
    given = properties.get("section") if properties else None
    event["section"] = given if given and type(given) is str else page.section


def put_source(event: EnrichedEvent, context: EnrichContext) -> None:
    """`source`, `medium`, `campaign`, `term`, `content`, `channel`, `search_term`: all null within the site."""
    url = event["url"]
    found = context.sources.of(page_of(url) if url else NO_PAGE, event["referrer"])
    event["source"] = found.source
    event["medium"] = found.medium
    event["campaign"] = found.campaign
    event["term"] = found.term
    event["content"] = found.content
    event["channel"] = found.channel
    event["search_term"] = found.search_term


def put_place(event: EnrichedEvent, context: EnrichContext) -> None:
    """`country`, `region`, `city`, from the IP as it was stored: truncated, unless the site says otherwise."""
    ip = event["ip"]
    place = context.geo.place_of(ip) if ip else NOWHERE
    event["country"] = place.country
    event["region"] = place.region
    event["city"] = place.city


def put_language(event: EnrichedEvent, _: EnrichContext) -> None:
    """`language`: the first of the browser's list, written the usual way."""
    language = event["language"]
    if language:
        event["language"] = language_of(language)


Step = Callable[[EnrichedEvent, EnrichContext], None]
"""Fills in its own fields of an event, from the event and the context and from nothing else."""

STEPS: tuple[tuple[str, Step], ...] = (
    ("event_time", put_event_time),
    ("bot", put_bot),
    ("browser", put_browser),
    ("place", put_place),
    ("page", put_page),
    ("source", put_source),
    ("language", put_language),
)
"""Every step by name, in order. The name is the `stage` of a dead letter."""


DECODE = "decode"
"""The stage before the steps: the record as a blank enriched event."""

Timed = Callable[[str, float], None]
"""(stage, seconds) that it took for one event, on the average of a batch."""


def enrich_batch(
    payloads: Sequence[bytes],
    partition: int,
    offsets: Sequence[int],
    context: EnrichContext,
    timed: Timed | None = None,
) -> list[EnrichedEvent | Failure]:
    """One outcome per payload, in order; never raises because of an event: that one becomes a `Failure`.

    The same payload at the same place gives the same outcome, so a batch may be enriched again. `timed` is told what
    each stage costs: `decode` and the names of `STEPS`.
    """
    watch = _Watch(timed, len(payloads))
    outcomes = [open_event(payload, partition, offset) for payload, offset in zip(payloads, offsets, strict=True)]
    events = [event for event in outcomes if not isinstance(event, Failure)]
    watch.lap(DECODE)
    for name, step in STEPS:
        for broken, error in _failing(step, events, context):
            detail = f"{type(error).__name__}: {error}"[:MAX_DETAIL_CHARS]
            at = next(index for index, event in enumerate(outcomes) if event is broken)
            outcomes[at] = Failure(name, Reason.STEP_FAILED, detail)
            events = [event for event in events if event is not broken]
        watch.lap(name)
    return outcomes


def _failing(
    step: Step, events: Sequence[EnrichedEvent], context: EnrichContext
) -> list[tuple[EnrichedEvent, Exception]]:
    """Take one step with all events, which costs less than all steps with each; those that made it raise, and how."""
    failing: list[tuple[EnrichedEvent, Exception]] = []
    left = iter(events)
    while True:
        event: EnrichedEvent = {}
        try:
            for event in left:
                step(event, context)
        except Exception as error:
            failing.append((event, error))
        else:
            return failing


class _Watch:
    """Times the stages of one batch: two looks at the clock for each."""

    def __init__(self, timed: Timed | None, events: int) -> None:
        self._timed = timed
        self._events = max(1, events)
        self._last = perf_counter()

    def lap(self, stage: str) -> None:
        if self._timed is not None:
            now = perf_counter()
            self._timed(stage, (now - self._last) / self._events)
            self._last = perf_counter()


def enrich(payload: bytes, partition: int, offset: int, context: EnrichContext) -> EnrichedEvent | Failure:
    """The enriched event of one record, or why there is none."""
    return enrich_batch([payload], partition, [offset], context)[0]

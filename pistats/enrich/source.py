"""Where a visitor came from: campaign tags first, then click ids, then the referrer."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_plus, urlsplit

from pistats.enrich.channel import UNASSIGNED, channel_of
from pistats.enrich.domains import Domains
from pistats.enrich.page import MAX_TAG_CHARS, Page
from pistats.enrich.referrers import Known, Referrers

REFERRER_CACHE = 8_192
"""Distinct pairs of referrer and host remembered, at most 2 KB each."""

CLICK_SOURCES: tuple[tuple[str, str, str | None], ...] = (
    ("gclid", "Google", "cpc"),
    ("gbraid", "Google", "cpc"),
    ("wbraid", "Google", "cpc"),
    ("dclid", "Google", "display"),
    ("msclkid", "Bing", "cpc"),
    ("yclid", "Yandex", "cpc"),
    ("ttclid", "TikTok", "cpc"),
    ("twclid", "X", "cpc"),
    ("li_fat_id", "LinkedIn", "cpc"),
    ("rdt_cid", "Reddit", "cpc"),
    ("sccid", "Snapchat", "cpc"),
    ("epik", "Pinterest", "cpc"),
    ("mc_eid", "Mailchimp", "email"),
    ("fbclid", "Facebook", "social"),
    ("igshid", "Instagram", "social"),
)
"""Click id, source, medium. Facebook and Instagram put theirs on every link, paid or not, so those say social."""


@dataclass(frozen=True, slots=True)
class Source:
    """How a visitor arrived. All None: a step within the site, which is no arrival. Direct has a channel only."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    term: str | None = None
    content: str | None = None
    channel: str | None = None
    search_term: str | None = None


@dataclass(frozen=True, slots=True)
class Referral:
    """A referrer that was understood. `internal`: the visitor's own site."""

    host: str | None
    internal: bool = False
    known: Known | None = None
    search_term: str | None = None


NO_REFERRAL = Referral(None)
WITHIN_THE_SITE = Source()
DIRECT = Source(channel="Direct")


class Sources:
    """Finds the source of an event; remembers referrers."""

    def __init__(self, referrers: Referrers, domains: Domains) -> None:
        self._referrers = referrers
        self._domains = domains
        self.referral_of = lru_cache(maxsize=REFERRER_CACHE)(self._referral_of)

    def of(self, page: Page, referrer: str | None) -> Source:
        """Tags of the page's URL win over click ids, click ids over the referrer; never raises."""
        referral = self.referral_of(referrer, page.host) if referrer else NO_REFERRAL
        if page.tags:
            return self._tagged(page.tags, referral)
        if referral.internal:
            return WITHIN_THE_SITE
        if referral.host is None:
            return DIRECT
        name, medium, kind = _of_referral(referral.host, referral.known)
        return Source(name, medium, channel=channel_of(name, medium, None, kind), search_term=referral.search_term)

    def _tagged(self, tags: dict[str, str], referral: Referral) -> Source:
        """What the link says. Where it names no source, the click id does, then the referrer."""
        source, medium, kind = self._named(tags)
        if source is None and referral.host is not None and not referral.internal:
            source, usual_medium, kind = _of_referral(referral.host, referral.known)
            medium = medium or usual_medium
        campaign = tags.get("utm_campaign") or tags.get("utm_id")
        says_something = source or medium or campaign
        return Source(
            source,
            medium,
            campaign,
            tags.get("utm_term"),
            tags.get("utm_content"),
            channel_of(source, medium, campaign, kind) if says_something else UNASSIGNED,
            referral.search_term,
        )

    def _named(self, tags: dict[str, str]) -> tuple[str | None, str | None, str | None]:
        """Source, medium and kind that the tags name. A click id fills in what `utm_…` leaves open."""
        source, medium = tags.get("utm_source"), tags.get("utm_medium")
        clicked, click_medium = _clicked(tags)
        known = self._referrers.by_name(source or clicked or "")
        name = known.name if known else source or clicked
        if medium is None and clicked is not None and name == clicked:
            medium = click_medium
        return name, medium, known.kind if known else None

    def _referral_of(self, referrer: str, own_host: str | None) -> Referral:
        """Host of a referrer, what it is known as, and the words that were searched for."""
        try:
            parts = urlsplit(referrer.strip())
            host = (parts.hostname or "").rstrip(".")
        except ValueError:
            return NO_REFERRAL
        if not host:
            return NO_REFERRAL
        if own_host and (host == own_host or self._domains.registrable(host) == self._domains.registrable(own_host)):
            return Referral(host, internal=True)
        known = self._referrers.by_host(host)
        words = _words(parts.query, known.params) if known and known.params and parts.query else None
        return Referral(host, known=known, search_term=words)


def _of_referral(host: str, known: Known | None) -> tuple[str, str, str | None]:
    """Source, medium and kind of an untagged visit from a host."""
    return (known.name, known.medium, known.kind) if known else (host.removeprefix("www."), "referral", None)


def _clicked(tags: dict[str, str]) -> tuple[str | None, str | None]:
    """Source and medium of the first click id among the tags."""
    for name, source, medium in CLICK_SOURCES:
        if name in tags:
            return source, medium
    return None, None


def _words(query: str, params: tuple[str, ...]) -> str | None:
    """What was searched for: the first of the engine's parameters that holds anything."""
    pairs = [pair.partition("=") for pair in query.split("&")]
    for param in params:
        for name, _, value in pairs:
            if name == param and value:
                return unquote_plus(value).strip()[:MAX_TAG_CHARS] or None
    return None

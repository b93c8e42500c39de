"""Where a visitor came from: campaign tags first, then click ids, then the referrer."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_plus, urlsplit

from pistats.enrich.channel import channel_of
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
        known = referral.known
        name = known.name if known else referral.host.removeprefix("www.")
        medium = known.medium if known else "referral"
        channel = channel_of(name, medium, None, known.kind if known else None)
        return Source(name, medium, channel=channel, search_term=referral.search_term)

    def _tagged(self, tags: dict[str, str], referral: Referral) -> Source:
        """What the link says. Where it names no source, the click id does, then the referrer."""
        source, medium = tags.get("utm_source"), tags.get("utm_medium")
        campaign = tags.get("utm_campaign") or tags.get("utm_id")
        known = self._referrers.by_name(source) if source else None
        if source is None:
            source, click_medium = _clicked(tags)
            if source is None and referral.host is not None and not referral.internal:
                known = referral.known
                source = known.name if known else referral.host.removeprefix("www.")
                click_medium = known.medium if known else "referral"
            elif source is not None:
                known = self._referrers.by_name(source)
            medium = medium or click_medium
        elif medium is None:
            medium = _clicked(tags)[1] if known and _clicked(tags)[0] == known.name else None
        return Source(
            known.name if known else source,
            medium,
            campaign,
            tags.get("utm_term"),
            tags.get("utm_content"),
            channel_of(known.name if known else source, medium, campaign, known.kind if known else None)
            if source or medium or campaign
            else "Unassigned",
            referral.search_term,
        )

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

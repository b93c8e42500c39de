"""A visitor's session: lands, reads, at times shares, searches, subscribes or buys, moves on, leaves."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from pistats.demo_site.catalogue import ARTICLES, SECTIONS, SITE_NAME, Article
from pistats.simulate.arrivals import ARRIVALS
from pistats.simulate.choice import Weighted, zipf
from pistats.simulate.visitors import Visitor

Step = tuple[float, dict[str, Any]]
"""Milliseconds after the step before, and the event without id and time."""
Trending = Callable[[], tuple[str, float]]
"""The trending topic now, and its share of article views."""

ONE_PAGE_SHARE = 0.42
NEXT_PAGE_SHARE = 0.72
"""Chance of another page after the second: 3.1 pages a session on the whole."""
REPORT_MS = 30_000
"""The tracker reports engagement every 30 s and when a page is left."""
MEAN_EVENTS = 7.4
"""Events of a session on average (a test holds it): arrivals = rate / MEAN_EVENTS."""


class Sessions:
    """Writes sessions, step by step, for visitors of the site at `site_url`."""

    def __init__(self, random: Random, site_url: str, trending: Trending) -> None:
        self._random, self._site, self._trending = random, site_url.rstrip("/"), trending
        self._arrivals = Weighted(ARRIVALS, [arrival.weight for arrival in ARRIVALS])
        ranked = list(ARTICLES)
        random.shuffle(ranked)
        self._articles = zipf(ranked, 1.1)
        self._by_section = {key: zipf([a for a in ranked if a.section == key], 1.0) for key in SECTIONS}
        self._by_topic = {topic: [a for a in ranked if a.topic == topic] for topic in {a.topic for a in ranked}}

    def session(self, visitor: Visitor) -> Iterator[Step]:
        """The steps of one session. Draws from the shared random as it goes: the order of consumption matters."""
        return self._crawl(visitor) if visitor.is_crawler else self._read(visitor)

    def _read(self, visitor: Visitor) -> Iterator[Step]:
        random = self._random
        arrival = self._arrivals.draw(random)
        landing = self._landing(visitor, deep=bool(arrival.referrer))
        page = _Page(self._site, landing, arrival.referrer, arrival.query)
        delay, pages = 0.0, 1
        while True:
            yield delay, page.event(visitor, "page_view", page.topic_properties())
            yield from self._dwell(visitor, page)
            if random.random() < (ONE_PAGE_SHARE if pages == 1 else 1 - NEXT_PAGE_SHARE):
                return
            pages += 1
            delay = 300 + 3_000 * random.random()
            page = _Page(self._site, self._next(visitor, page), page.url)

    def _dwell(self, visitor: Visitor, page: "_Page") -> Iterator[Step]:
        """Engagement while a page is read, and what is done on it."""
        random = self._random
        left_ms = min(random.lognormvariate(9.9 if page.article else 8.7, 0.8), 600_000.0)
        scrolled = random.random() * 0.3
        action = _ACTIONS.draw(random)
        while left_ms > 0:
            part_ms = min(left_ms, REPORT_MS)
            left_ms -= part_ms
            scrolled = min(1.0, scrolled + random.random() * 0.5)
            engaged = int(part_ms * (0.5 + 0.5 * random.random()))
            if action and left_ms <= 0:
                yield part_ms * 0.5, page.event(visitor, action, _properties_of(action, page, random))
                part_ms *= 0.5
            yield (
                part_ms,
                page.event(visitor, "engagement", {"engaged_ms": engaged, "scroll_percent": int(100 * scrolled)}),
            )

    def _crawl(self, visitor: Visitor) -> Iterator[Step]:
        """A crawler: quick views, nothing else."""
        for _ in range(2 + int(self._random.random() * 5)):
            page = _Page(self._site, self._article(visitor), "")
            yield 500 + 1_500 * self._random.random(), page.event(visitor, "page_view", page.topic_properties())

    def _landing(self, visitor: Visitor, *, deep: bool) -> Article | str:
        """Links from elsewhere lead to articles; who types the address comes to the front page."""
        if self._random.random() < (0.85 if deep else 0.3):
            return self._article(visitor)
        return "" if self._random.random() < 0.85 else visitor.favourite

    def _next(self, visitor: Visitor, page: "_Page") -> Article | str:
        if page.article is None or self._random.random() < 0.7:
            return self._article(visitor)
        return page.article.section if self._random.random() < 0.6 else ""

    def _article(self, visitor: Visitor) -> Article:
        random = self._random
        topic, share = self._trending()
        if random.random() < share:
            return random.choice(self._by_topic[topic])
        if random.random() < 0.4:
            return self._by_section[visitor.favourite].draw(random)
        return self._articles.draw(random)


class _Page:
    """Where the visitor is: an article, a section's front, or the front page (empty section)."""

    __slots__ = ("article", "referrer", "title", "url")

    def __init__(self, site: str, target: Article | str, referrer: str, query: str = "") -> None:
        self.article = target if isinstance(target, Article) else None
        if isinstance(target, Article):
            path, self.title = target.path, f"{target.title} · {SITE_NAME}"
        else:
            path, self.title = f"/{target}", f"{SECTIONS[target]} · {SITE_NAME}" if target else SITE_NAME
        self.url = f"{site}{path}?{query}" if query else site + path
        self.referrer = referrer

    def topic_properties(self) -> dict[str, Any] | None:
        if self.article is None:
            return None
        return {"topic": self.article.topic, "section": self.article.section}

    def event(self, visitor: Visitor, name: str, properties: dict[str, Any] | None) -> dict[str, Any]:
        event: dict[str, Any] = {
            "name": name,
            "visitor_id": visitor.visitor_id,
            "url": self.url,
            "title": self.title,
            "user_agent": visitor.device.user_agent,
            "ip": visitor.ip,
            "language": visitor.language,
            "screen": visitor.screen,
        }
        if self.referrer:
            event["referrer"] = self.referrer
        if visitor.user_id:
            event["user_id"] = visitor.user_id
        if properties:
            event["properties"] = properties
        return event


_ACTIONS: Weighted[str] = Weighted(
    ("", "share", "search", "outbound_click", "subscribe", "purchase"), (90, 4, 2.5, 2, 1, 0.5)
)
_NETWORKS = ("mail", "whatsapp", "link", "x")
_WORDS = ("comet", "coffee", "trains", "election", "recipes", "final", "sleep", "privacy")
_PRICES = {"monthly": 9.0, "yearly": 90.0}


def _properties_of(action: str, page: _Page, random: Random) -> dict[str, Any]:
    """The properties that the demo site sends with the same event."""
    if action == "share":
        return {"network": random.choice(_NETWORKS), **(page.topic_properties() or {})}
    if action == "search":
        return {"words": random.choice(_WORDS)}
    if action == "outbound_click":
        return {"url": "https://en.wikipedia.org/wiki/News"}
    plan = random.choice(("monthly", "yearly"))
    return {"plan": plan} if action == "subscribe" else {"plan": plan, "value": _PRICES[plan], "currency": "EUR"}

"""The pages of the demo site as HTML. Every text from outside passes through `escape`."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pistats.demo_site.catalogue import ARTICLES, SECTIONS, SITE_NAME, Article, body, in_section, search
from pistats.demo_site.pictures import picture

STYLE = Path(__file__).with_name("site.css").read_text(encoding="utf-8")
SCRIPT = Path(__file__).with_name("site.js").read_text(encoding="utf-8")
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Ccircle cx='16' cy='16' r='15' fill='%23b3261e'/%3E"
    "%3Cpath d='M16 3v26' stroke='%23fff' stroke-width='3'/%3E%3C/svg%3E"
)


@dataclass(frozen=True, slots=True)
class Pages:
    """Renders every page with the tracker's script tag; `tracker` is the whole tag."""

    tracker: str

    def front(self) -> str:
        lead, *rest = (ARTICLES[n] for n in (0, 15, 20, 11, 5, 25, 30, 34, 13))
        main = f"""<section class="lead"><a href="{lead.path}">{_picture(lead)}</a><a href="{lead.path}">
            <p class="kicker">{SECTIONS[lead.section]}</p><h1>{escape(lead.title)}</h1>
            <p class="soft">{escape(lead.summary)}</p>{_by(lead)}</a></section>
            <h2 class="rule">Today</h2>{_grid(rest)}{_OFFER}"""
        return self._page(SITE_NAME, main)

    def section(self, section: str) -> str:
        """A section's front. Raises KeyError for an unknown section."""
        label = SECTIONS[section]
        return self._page(f"{label} · {SITE_NAME}", f"<h1>{label}</h1>{_grid(in_section(section))}{_OFFER}", section)

    def article(self, article: Article) -> str:
        summary, *paragraphs = body(article)
        more = [other for other in in_section(article.section) if other != article][:3]
        wiki = f"https://en.wikipedia.org/wiki/Special:Search?search={escape(article.topic.replace('-', '+'))}"
        main = f"""<article class="story" data-answers><p class="kicker">{SECTIONS[article.section]}</p>
            <h1>{escape(article.title)}</h1>{_by(article)}
            <div class="actions">{_SHARE}<p role="status"></p></div>{_picture(article)}<br>
            <p class="summary">{escape(summary)}</p>{"".join(f"<p>{escape(text)}</p>" for text in paragraphs)}
            <p>Read on: <a href="{wiki}" style="text-decoration: underline">background on Wikipedia</a>.</p></article>
            {_OFFER}<h2 class="rule">More from {SECTIONS[article.section]}</h2>{_grid(more)}"""
        head = f"""<meta name="pistats:topic" content="{article.topic}">
            <meta name="pistats:section" content="{article.section}">"""
        return self._page(f"{article.title} · {SITE_NAME}", main, article.section, head)

    def results(self, words: str) -> str:
        found = search(words)
        count = "Nothing found" if not found else f"{len(found)} article{'s' if len(found) > 1 else ''}"
        main = f"<h1>{escape(words) or 'Search'}</h1><p class='soft'>{count}</p><br>{_grid(found)}"
        return self._page(f"Search · {SITE_NAME}", main, words=words)

    def missing(self) -> str:
        front = "<a href='/'><u>To the front page</u></a>"
        main = f"<h1>There is no such page</h1><p class='soft'>It may have moved. {front}</p>"
        return self._page(f"Not found · {SITE_NAME}", main)

    def _page(self, title: str, main: str, current: str = "", head: str = "", words: str = "") -> str:
        links = "".join(
            f'<a href="/{key}"{" aria-current=page" if key == current else ""}>{label}</a>'
            for key, label in SECTIONS.items()
        )
        return f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>
<link rel="icon" href="{ICON}"><style>{STYLE}</style>{head}{self.tracker}</head><body>
<header class="wrap mast"><a class="name" href="/">{SITE_NAME}</a>
<form action="/search" role="search">
<input name="q" type="search" placeholder="Search" aria-label="Search" value="{escape(words)}"></form>
<a class="button" href="#offer">Subscribe</a></header>
<nav aria-label="Sections"><div class="wrap">{links}</div></nav>
<main class="wrap">{main}</main>
<footer class="wrap">{SITE_NAME} is invented, and so is everything it reports. It shows what piStats counts.</footer>
<script>{SCRIPT}</script></body></html>"""


def _picture(article: Article) -> str:
    return picture(article.section, article.slug, label=escape(article.title))


def _by(article: Article) -> str:
    return f'<p class="by">{escape(article.author)} · {article.minutes} min read</p>'


def _grid(articles: Iterable[Article]) -> str:
    cards = (
        f"""<a href="{article.path}">{_picture(article)}<p class="kicker">{SECTIONS[article.section]}</p>
        <h2>{escape(article.title)}</h2><p class="soft">{escape(article.summary)}</p></a>"""
        for article in articles
    )
    return f'<div class="grid">{"".join(cards)}</div>'


_SHARE = "".join(
    f'<button class="quiet" data-event="share" data-network="{network}" data-said="{said}">{label}</button>'
    for network, label, said in (
        ("link", "Copy link", "The link is yours to keep."),
        ("mail", "Mail", "Sent, in spirit."),
        ("x", "Post", "Posted, in spirit."),
    )
)

_OFFER = """<section class="offer" id="offer" data-answers><div><h2>The morning edition</h2>
<p class="soft">Five stories before breakfast. Free, or support us.</p><p role="status"></p></div>
<form id="subscribe">
<input name="name" required maxlength="40" placeholder="Your first name" aria-label="Your first name">
<button>Subscribe</button></form>
<div class="plans">
<button class="quiet" data-event="purchase" data-plan="monthly" data-value="9" data-currency="EUR"
data-said="Thank you for your support.">€9 a month</button>
<button class="quiet" data-event="purchase" data-plan="yearly" data-value="90" data-currency="EUR"
data-said="Thank you for a whole year.">€90 a year</button></div></section>"""

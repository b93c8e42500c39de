"""What a URL says: the page, and the tags that a campaign put on it."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_plus, urlsplit

URL_CACHE = 8_192
"""Distinct URLs remembered: a URL is at most 2 KB, so this is at most 16 MB."""

TAGS = frozenset({"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id"})
"""Campaign tags as every ad tool writes them."""

CLICK_IDS = (
    "gclid",
    "gbraid",
    "wbraid",
    "dclid",
    "msclkid",
    "yclid",
    "ttclid",
    "twclid",
    "li_fat_id",
    "rdt_cid",
    "ScCid",
    "epik",
    "fbclid",
    "igshid",
    "mc_eid",
)
"""Parameters that an ad network or a mailer adds to each link. What each one means is in `source.py`."""

_WANTED = TAGS | frozenset(name.lower() for name in CLICK_IDS)
MAX_TAG_CHARS = 200
"""Longer tag values are cut: they are labels, and they are counted."""


@dataclass(frozen=True, slots=True)
class Page:
    """A parsed URL. `tags` holds the campaign tags and click ids, keys in lower case."""

    host: str | None
    path: str | None
    section: str | None
    tags: dict[str, str]


NO_PAGE = Page(None, None, None, {})


@lru_cache(maxsize=URL_CACHE)
def page_of(url: str) -> Page:
    """Host in lower case without port, path without query, fragment and trailing slash; never raises.

    The root is `/`. The section is the first folder: `/sport/football` is in `sport`, `/about` in none.
    A URL that cannot be read gives nothing at all.
    """
    try:
        parts = urlsplit(_with_slashes(url.strip()))
        host = parts.hostname
    except ValueError:
        return NO_PAGE
    path = parts.path
    if path[:1] != "/":
        path = "/" + path
    path = path.rstrip("/") or "/"
    return Page((host or "").rstrip(".") or None, path, _section(path), _tags(parts.query) if parts.query else {})


def _with_slashes(url: str) -> str:
    """`example.com/a` means a host, `/a` a path: urlsplit would take both for paths."""
    if "://" in url or url.startswith("/"):
        return url
    first = url.split("/", 1)[0]
    return "//" + url if "." in first and ":" not in first else url


def _section(path: str) -> str | None:
    folder, slash, _ = path[1:].partition("/")
    return folder or None if slash else None


def _tags(query: str) -> dict[str, str]:
    """The wanted parameters. The first one of a name wins; empty ones do not count."""
    tags: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        name = name.lower()
        if value and name in _WANTED and name not in tags:
            text = unquote_plus(value).strip()[:MAX_TAG_CHARS]
            if text:
                tags[name] = text
    return tags

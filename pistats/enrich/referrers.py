"""Search engines, social networks, AI assistants and others that send visitors, by host and by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from pistats.enrich.domains import Domains

DATA = Path(__file__).parent / "data" / "referrers.json"

KINDS = ("ai", "mail", "video", "shopping", "search", "social")
"""In order of preference when a host is listed twice: YouTube is a video site before it is a social network."""

MEDIUM = {
    "ai": "ai-assistant",
    "mail": "email",
    "video": "referral",
    "shopping": "referral",
    "search": "organic",
    "social": "social",
}
"""The medium of an untagged visit from each kind."""

HOST_CACHE = 16_384


@dataclass(frozen=True, slots=True)
class Known:
    """A known sender of visitors. `params` are the query parameters in which a search engine puts the words."""

    name: str
    kind: str
    params: tuple[str, ...] = ()

    @property
    def medium(self) -> str:
        return MEDIUM[self.kind]


class Referrers:
    """Recognises hosts and names. `{}` in a listed host stands for any public suffix or any country prefix."""

    def __init__(self, lists: Mapping[str, Mapping[str, Any]], domains: Domains) -> None:
        self._domains = domains
        self._hosts: dict[str, Known] = {}
        self._names: dict[str, Known] = {}
        for kind in KINDS:
            for name, entry in lists.get(kind, {}).items():
                known = Known(name, kind, tuple(entry.get("params", ())))
                for host in entry["hosts"]:
                    self._hosts.setdefault(host, known)
                for alias in (name, *entry.get("aliases", ())):
                    self._names.setdefault(alias.lower(), known)
        self.by_host = lru_cache(maxsize=HOST_CACHE)(self._by_host)
        self.by_name = lru_cache(maxsize=HOST_CACHE)(self._by_name)

    @classmethod
    def standard(cls, domains: Domains, path: Path = DATA) -> "Referrers":
        """The vendored lists."""
        return cls(orjson.loads(path.read_bytes()), domains)

    def _by_host(self, host: str) -> Known | None:
        """The sender behind a host. A search engine only by its own hosts: `docs.google.com` is not a search."""
        host = host.removeprefix("www.")
        if found := self._exact(host):
            return found
        parent = host
        while "." in parent:
            parent = parent.split(".", 1)[1]
            found = self._hosts.get(parent)
            if found and found.kind != "search" and found.kind != "mail":
                return found
        return None

    def _exact(self, host: str) -> Known | None:
        if found := self._hosts.get(host):
            return found
        suffix = self._domains.suffix(host)
        if suffix and host.endswith("." + suffix):
            stem = host[: -len(suffix)]
            if found := self._hosts.get(stem + "{}"):
                return found
        first, _, rest = host.partition(".")
        return self._hosts.get("{}." + rest) if len(first) == 2 else None

    def _by_name(self, source: str) -> Known | None:
        """The sender that a `utm_source` means: by name, by alias (`fb`) or by host (`l.facebook.com`)."""
        text = source.strip().lower()
        return self._names.get(text) or (self._by_host(text) if "." in text else None)

"""Hosts and the domains that somebody can register."""

import re
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

HOST_CACHE = 16_384

_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")


class Domains:
    """Answers from the Public Suffix List, remembered per host."""

    def __init__(self) -> None:
        self._suffixes = PublicSuffixList()
        self._official = PublicSuffixList(only_icann=True)
        self.registrable = lru_cache(maxsize=HOST_CACHE)(self._registrable)
        self.suffix = lru_cache(maxsize=HOST_CACHE)(self._suffix)

    def _registrable(self, host: str) -> str:
        """`news.example.co.uk` is `example.co.uk`; an IP address and a single name stand for themselves.

        Two customers of one hoster (`a.github.io`, `b.github.io`) are two domains.
        """
        if is_address(host):
            return host
        return self._suffixes.privatesuffix(host) or host

    def _suffix(self, host: str) -> str | None:
        """`co.uk` of `www.google.co.uk`, `com` of `google.blogspot.com`; None for an IP address."""
        if is_address(host):
            return None
        found: str | None = self._official.publicsuffix(host)
        return found


def is_address(host: str) -> bool:
    """True for IPv4 and IPv6 literals: their labels are not a domain."""
    return ":" in host or _IPV4.fullmatch(host) is not None

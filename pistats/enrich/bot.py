"""Which user agents are machines."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import re2

EXCLUDED = frozenset({r"AP3A\.240617\.008", "MetaIAB Facebook", r"Code\/1\.", "Sonic"})
"""Patterns of crawler-user-agents that also match people: an Android build, Facebook's in-app browser,
editors and phones."""

USER_AGENT_CACHE = 16_384
"""Distinct user agents remembered: real traffic has a few thousand."""

MAX_NAME_CHARS = 64


class BotFilter:
    """Recognises crawlers, scanners, headless browsers and HTTP libraries by their user agent.

    One `re2.Set` over all patterns: linear time, whatever a client sends.
    """

    def __init__(self, crawlers: Sequence[dict[str, Any]]) -> None:
        kept = [crawler for crawler in crawlers if crawler["pattern"] not in EXCLUDED]
        self._patterns = [re.compile(crawler["pattern"]) for crawler in kept]
        self._libraries = frozenset(i for i, crawler in enumerate(kept) if "http-library" in crawler.get("tags", ()))
        self._set = re2.Set.SearchSet()
        for crawler in kept:
            self._set.Add(crawler["pattern"])
        self._set.Compile()
        self.name_of = lru_cache(maxsize=USER_AGENT_CACHE)(self._name_of)
        self.is_http_library = lru_cache(maxsize=USER_AGENT_CACHE)(self._is_http_library)

    @classmethod
    def standard(cls) -> "BotFilter":
        """The patterns of the installed crawler-user-agents."""
        from crawleruseragents import CRAWLER_USER_AGENTS_DATA

        return cls(CRAWLER_USER_AGENTS_DATA)

    def _is_http_library(self, user_agent: str) -> bool:
        """True when this is a program's HTTP client: it speaks for a visitor, and is not the visitor itself."""
        return any(index in self._libraries for index in self._matches(user_agent))

    def _name_of(self, user_agent: str) -> str | None:
        """The bot's name as it calls itself (the longest match), or None for a person."""
        matches = (self._patterns[index].search(user_agent) for index in self._matches(user_agent))
        names = [match.group(0).strip(" /;:(").strip() or "bot" for match in matches if match is not None]
        return max(names, key=len)[:MAX_NAME_CHARS] if names else None

    def _matches(self, user_agent: str) -> Sequence[int]:
        """Indexes of the matching patterns. `re2` answers None for none."""
        return self._set.Match(user_agent) or ()

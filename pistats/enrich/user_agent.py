"""Browser, operating system and kind of device, from the user agent."""

import re
from dataclasses import dataclass
from functools import lru_cache

from ua_parser import parse
from ua_parser.core import DefaultedResult, Result

USER_AGENT_CACHE = 16_384
"""Distinct user agents remembered: real traffic has a few thousand."""

BROWSER_NAMES = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Android WebView",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "iOS WebView",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Edge Mobile": "Edge",
    "Opera Mobile": "Opera",
    "Samsung Internet": "Samsung Internet",
    "IE": "Internet Explorer",
    "IE Mobile": "Internet Explorer",
    "Yandex Browser": "Yandex Browser",
}
"""A browser keeps its name on a phone: the device is a dimension of its own."""

TV = re.compile(
    r"smart-?tv|googletv|apple ?tv|hbbtv|netcast|nettv|web0s|webos.*tv|bravia|roku|crkey|\baft[a-z]\w*|"
    r"android tv|viera|dtv|aquos|tizen.*\btv\b|\btv\b.*tizen|philipstv|opera tv|inettvbrowser",
    re.IGNORECASE,
)
OTHER = re.compile(r"playstation|nintendo|xbox|watch|tesla|qtcarbrowser|oculus|quest \d", re.IGNORECASE)
TABLET = re.compile(r"ipad|tablet|kindle|silk/|playbook|nexus (?:7|9|10)\b|android(?!.*mobi)", re.IGNORECASE)
MOBILE = re.compile(
    r"iphone|ipod|mobi|windows phone|kaios|opera mini|blackberry|bb10|symbian|series60|nokia|j2me|midp", re.IGNORECASE
)
DESKTOP_OS = re.compile(
    r"windows|mac os x|macintosh|linux|chrome ?os|cros |ubuntu|fedora|debian|freebsd|openbsd|netbsd|sunos|x11",
    re.IGNORECASE,
)

_RULES = ((TV, "tv"), (OTHER, "other"), (TABLET, "tablet"), (MOBILE, "mobile"), (DESKTOP_OS, "desktop"))
"""Tried in this order: a television says Linux, a tablet says Mobile, an Android phone says Linux."""


@dataclass(frozen=True, slots=True)
class Browser:
    """What a user agent says of itself; None is unknown."""

    browser: str | None
    browser_version: str | None
    os: str | None
    os_version: str | None
    device: str | None


UNKNOWN = Browser(None, None, None, None, None)


@lru_cache(maxsize=USER_AGENT_CACHE)
def browser_of(user_agent: str) -> Browser:
    """Names from ua-parser, the device by our own rule; never raises."""
    found: Result | DefaultedResult = parse(user_agent)
    agent, system = found.user_agent, found.os
    family = agent.family if agent else None
    return Browser(
        BROWSER_NAMES.get(family, family) if family else None,
        _version(agent.major, agent.minor) if agent else None,
        system.family if system else None,
        _version(system.major, system.minor) if system else None,
        device_of(user_agent),
    )


def device_of(user_agent: str) -> str | None:
    """`desktop`, `mobile`, `tablet`, `tv` or `other` (consoles, watches, cars); None when nothing tells.

    An iPad that asks for desktop sites says that it is a Mac, and is counted as one.
    """
    for pattern, device in _RULES:
        if pattern.search(user_agent):
            return device
    return None


def _version(major: str | None, minor: str | None) -> str | None:
    if major is None:
        return None
    return major if minor is None else f"{major}.{minor}"

"""The channel of a visit: Google Analytics 4's default rules, in its order, with AI assistants as one more.

Rules: "[GA4] Default channel group", Google Analytics help. Ours: AI assistants stand before the unpaid channels,
because an assistant's host would otherwise count as a search engine or as a referral.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

PAID = re.compile(r"^(.*cp.*|ppc|retargeting|paid.*)$")
SHOPPING_CAMPAIGN = re.compile(r"^(.*(([^a-df-z]|^)shop|shopping).*)$")
VIDEO_MEDIUM = re.compile(r"^(.*video.*)$")
DISPLAY_MEDIA = frozenset({"display", "banner", "expandable", "interstitial", "cpm"})
SOCIAL_MEDIA = frozenset({"social", "social-network", "social-media", "sm", "social network", "social media"})
REFERRAL_MEDIA = frozenset({"referral", "app", "link"})
EMAIL = frozenset({"email", "e-mail", "e_mail", "e mail"})
AI_MEDIA = frozenset({"ai-assistant", "ai_assistant", "ai assistant", "ai"})

CHANNEL_CACHE = 16_384


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of how a visitor came, all text in lower case. `kind` is what the source is known as:
    `search`, `social`, `video`, `shopping`, `ai`, `mail` or empty."""

    source: str
    medium: str
    campaign: str
    kind: str

    @property
    def paid(self) -> bool:
        return PAID.match(self.medium) is not None

    @property
    def shopping(self) -> bool:
        return self.kind == "shopping" or SHOPPING_CAMPAIGN.match(self.campaign) is not None


Rule = Callable[[Arrival], bool]

CHANNELS: tuple[tuple[str, Rule], ...] = (
    ("Direct", lambda a: not (a.source or a.medium or a.campaign)),
    ("Cross-network", lambda a: "cross-network" in a.campaign),
    ("Paid Shopping", lambda a: a.shopping and a.paid),
    ("Paid Search", lambda a: a.kind == "search" and a.paid),
    ("Paid Social", lambda a: a.kind == "social" and a.paid),
    ("Paid Video", lambda a: a.kind == "video" and a.paid),
    ("Display", lambda a: a.medium in DISPLAY_MEDIA),
    ("Paid Other", lambda a: a.paid),
    ("AI Assistants", lambda a: a.kind == "ai" or a.medium in AI_MEDIA),
    ("Organic Shopping", lambda a: a.shopping),
    ("Organic Social", lambda a: a.kind == "social" or a.medium in SOCIAL_MEDIA),
    ("Organic Video", lambda a: a.kind == "video" or VIDEO_MEDIUM.match(a.medium) is not None),
    ("Organic Search", lambda a: a.kind == "search" or a.medium == "organic"),
    ("Referral", lambda a: a.medium in REFERRAL_MEDIA),
    ("Email", lambda a: a.kind == "mail" or a.source in EMAIL or a.medium in EMAIL),
    ("Affiliates", lambda a: a.medium == "affiliate"),
    ("Audio", lambda a: a.medium == "audio"),
    ("SMS", lambda a: "sms" in (a.source, a.medium)),
    (
        "Mobile Push Notifications",
        lambda a: (
            a.medium.endswith("push") or "mobile" in a.medium or "notification" in a.medium or a.source == "firebase"
        ),
    ),
)
"""The first rule that holds names the channel."""

UNASSIGNED = "Unassigned"
"""Tags that no rule knows. Never `Direct`: somebody did tag this link."""


@lru_cache(maxsize=CHANNEL_CACHE)
def channel_of(source: str | None, medium: str | None, campaign: str | None, kind: str | None) -> str:
    """The channel of an arrival; `Direct` only when nothing at all is known of it."""
    arrival = Arrival((source or "").lower(), (medium or "").lower(), (campaign or "").lower(), kind or "")
    for name, holds in CHANNELS:
        if holds(arrival):
            return name
    return UNASSIGNED

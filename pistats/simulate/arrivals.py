"""How simulated visitors come to the site: the referrer, and the campaign parameters of the address they land on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrival:
    """One way to come: `query` is appended to the landing page's address. Both empty: typed in or bookmarked."""

    weight: float
    referrer: str = ""
    query: str = ""


ARRIVALS = (
    Arrival(30),
    Arrival(24, "https://www.google.com/"),
    Arrival(3, "https://www.bing.com/"),
    Arrival(2, "https://duckduckgo.com/"),
    Arrival(1, "https://search.yahoo.com/"),
    Arrival(6, "https://www.facebook.com/"),
    Arrival(3, "https://l.instagram.com/"),
    Arrival(5, "https://t.co/"),
    Arrival(3, "https://www.reddit.com/"),
    Arrival(2, "https://www.linkedin.com/"),
    Arrival(3, "https://news.ycombinator.com/"),
    Arrival(2, "https://www.youtube.com/"),
    Arrival(4, "https://chatgpt.com/"),
    Arrival(1.5, "https://www.perplexity.ai/"),
    Arrival(1, "https://gemini.google.com/"),
    Arrival(5, "", "utm_source=morning-briefing&utm_medium=email&utm_campaign=daily-2026"),
    Arrival(2, "", "utm_source=morning-briefing&utm_medium=email&utm_campaign=weekend-reads"),
    Arrival(2.5, "https://www.google.com/", "utm_source=google&utm_medium=cpc&utm_campaign=subscribe&utm_term=news"),
    Arrival(1.5, "https://www.facebook.com/", "utm_source=facebook&utm_medium=paid_social&utm_campaign=subscribe"),
    Arrival(2, "https://en.wikipedia.org/"),
    Arrival(1.5, "https://www.theguardian.com/"),
)

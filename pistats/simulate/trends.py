"""Which topic is in the news: quiet at first, then one topic rises, holds and fades, then the next."""

from random import Random

from pistats.demo_site.catalogue import ARTICLES

CALM_MS = 90_000
"""Nothing trends for the first minute and a half: a baseline to rise from."""
PERIOD_MS = 20 * 60_000
RISE_MS = 2 * 60_000
HOLD_MS = 10 * 60_000
PEAK_SHARE = 0.45
"""Of article views that go to the topic at its peak."""


class Trends:
    """The trending topic and its share at a moment of the simulated time; the order of the topics is random's."""

    def __init__(self, random: Random) -> None:
        self._topics = sorted({article.topic for article in ARTICLES})
        random.shuffle(self._topics)

    def at(self, time_ms: float) -> tuple[str, float]:
        """The topic of this period and its share of article views, from 0 to PEAK_SHARE."""
        since = time_ms - CALM_MS
        topic = self._topics[int(max(0.0, since) // PERIOD_MS) % len(self._topics)]
        return topic, PEAK_SHARE * _envelope(since % PERIOD_MS) if since > 0 else 0.0


def _envelope(since_ms: float) -> float:
    """Rises in a straight line, holds, fades as it rose; 0 outside."""
    fall = RISE_MS + HOLD_MS
    if since_ms < RISE_MS:
        return since_ms / RISE_MS
    return 1.0 if since_ms < fall else max(0.0, 1 - (since_ms - fall) / RISE_MS)

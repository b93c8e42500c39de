"""Which topics get more attention than the site's own pace explains."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pistats.live.bucket import MINUTE_MS

WINDOW_MINUTES = 10
"""W: the minutes in which a topic is counted, the unfinished one included."""

BASELINE_MINUTES = 140
"""How far the baseline looks back before W. With the decay below, older minutes would weigh less than 10 %."""

WEEK_MS = 7 * 24 * 3_600_000
HOUR_MINUTES = 60
"""The same hour a week ago, centred: half of it before that moment, half after."""

DECAY_MINUTES = 60.0
"""A baseline minute that is so much older weighs 1/e as much: the moving average follows the day, not the minute."""

MIN_EVENTS = 5
MIN_SHARE = 0.01
MIN_VISITORS = 3
"""Below these a topic is not looked at: one reader who reloads is no trend."""

NEW_BELOW = 0.5
"""An expected count below half an event is "about zero": the topic is new."""


@dataclass(frozen=True, slots=True)
class MinuteTopics:
    """One minute of a site: all its events, and how often each topic was seen."""

    events: int
    topics: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Trend:
    """A topic with its score: standard deviations above what was expected."""

    topic: str
    score: float
    count: int
    expected: float
    new: bool


def trending(minutes: Mapping[int, MinuteTopics], now_ms: int, visitors_of: Callable[[str], int]) -> list[Trend]:
    """Topics above their expectation, highest score first.

    `score = (count − gλ) / √(gλ + 1)` with λ the count expected in the window, and g how much faster the whole site
    runs now than it did then. "Then" is an exponentially weighted average of the preceding minutes and, when `minutes`
    holds it, the same hour a week ago: the higher expectation counts, so what either explains is not trending.
    `visitors_of` is asked only about topics that pass every other test.
    """
    minute = now_ms - now_ms % MINUTE_MS
    start = minute - (WINDOW_MINUTES - 1) * MINUTE_MS
    length = WINDOW_MINUTES - 1 + (now_ms - minute) / MINUTE_MS
    counts, site_now = _window(minutes, start)
    baselines = [_recent(minutes, start, length), _week_ago(minutes, now_ms, length)]
    paced = [(seen, site_now / site if site > 0 else 1.0) for seen, site in baselines]
    found = []
    for topic, count in counts.items():
        if count < max(MIN_EVENTS, MIN_SHARE * site_now):
            continue
        likely = max(pace * seen.get(topic, 0.0) for seen, pace in paced)
        score = (count - likely) / math.sqrt(likely + 1)
        if score > 0 and visitors_of(topic) >= MIN_VISITORS:
            found.append(Trend(topic, round(score, 2), count, round(likely, 2), likely < NEW_BELOW))
    return sorted(found, key=lambda trend: (-trend.score, trend.topic))


def _window(minutes: Mapping[int, MinuteTopics], start: int) -> tuple[dict[str, int], int]:
    """Counts per topic and of the site since `start`."""
    counts: dict[str, int] = {}
    events = 0
    for minute, seen in minutes.items():
        if minute >= start:
            events += seen.events
            for topic, count in seen.topics.items():
                counts[topic] = counts.get(topic, 0) + count
    return counts, events


Baseline = tuple[dict[str, float], float]
"""Expected counts per topic, and of the whole site."""


def _week_ago(minutes: Mapping[int, MinuteTopics], now_ms: int, length: float) -> Baseline:
    """The mean of the hour around this moment a week ago, for `length` minutes; empty when it is not known."""
    moment = now_ms - now_ms % MINUTE_MS - WEEK_MS
    counts: dict[str, int] = {}
    events = 0
    for minute in range(moment - HOUR_MINUTES // 2 * MINUTE_MS, moment + HOUR_MINUTES // 2 * MINUTE_MS, MINUTE_MS):
        seen = minutes.get(minute)
        if seen is not None:
            events += seen.events
            for topic, count in seen.topics.items():
                counts[topic] = counts.get(topic, 0) + count
    scale = length / HOUR_MINUTES
    return {topic: scale * count for topic, count in counts.items()}, scale * events


def _recent(minutes: Mapping[int, MinuteTopics], start: int, length: float) -> Baseline:
    """Expected counts of each topic and of the site in `length` minutes; empty without a past.

    Minutes without events count as zero from the first known one on, so a quiet site has a low baseline.
    """
    oldest = start - BASELINE_MINUTES * MINUTE_MS
    past = {minute: seen for minute, seen in minutes.items() if oldest <= minute < start}
    if not past:
        return {}, 0.0
    first = min(past)
    ages = range(1, (start - first) // MINUTE_MS + 1)
    scale = length / sum(math.exp(-age / DECAY_MINUTES) for age in ages)
    expected: dict[str, float] = {}
    site = 0.0
    for minute in sorted(past):
        seen = past[minute]
        weight = scale * math.exp(-((start - minute) // MINUTE_MS) / DECAY_MINUTES)
        site += weight * seen.events
        for topic, count in seen.topics.items():
            expected[topic] = expected.get(topic, 0.0) + weight * count
    return expected, site

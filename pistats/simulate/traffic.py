"""The stream of events of a whole site: many sessions, interleaved as they would be."""

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from pistats.simulate.sessions import MEAN_EVENTS, Sessions, Step
from pistats.simulate.trends import Trends
from pistats.simulate.visitors import Population, Visitor


class Traffic:
    """The same seed gives the same events in the same order, whatever the clock does.

    It has a time of its own, in which sessions arrive as a Poisson process and pages take as long as they are read. At
    `rate` events a second that time passes as fast as the real one; at the start, when few sessions are under way, and
    with too few visitors for the rate, it passes faster.
    """

    def __init__(self, random: Random, *, rate: float, visitors: int, site_url: str) -> None:
        self._random = random
        self.now_ms = 0.0
        self._mean_gap_ms = 1_000 * MEAN_EVENTS / rate
        trends = Trends(random)
        self._population = Population(random, visitors)
        self._sessions = Sessions(random, site_url, lambda: trends.at(self.now_ms))
        self._next_arrival_ms = 0.0
        self._numbers = count()
        self._due: list[tuple[float, int, dict[str, Any], Iterator[Step], Visitor]] = []

    def next_event(self) -> dict[str, Any]:
        """The next event, without `event_id` and `time`: those belong to the run, not to the seed."""
        while not self._due or self._next_arrival_ms < self._due[0][0]:
            self._arrive()
        self.now_ms, _, event, steps, visitor = heappop(self._due)
        self._follow(steps, visitor)
        return event

    def _arrive(self) -> None:
        self.now_ms = max(self.now_ms, self._next_arrival_ms)
        self._next_arrival_ms += self._random.expovariate(1 / self._mean_gap_ms)
        visitor = self._population.arrive()
        if visitor is not None:
            self._follow(self._sessions.session(visitor), visitor)

    def _follow(self, steps: Iterator[Step], visitor: Visitor) -> None:
        step = next(steps, None)
        if step is None:
            self._population.leave(visitor)
        else:
            heappush(self._due, (self.now_ms + step[0], next(self._numbers), step[1], steps, visitor))

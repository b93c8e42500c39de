"""How many consumers a group should have: more while it falls behind, fewer once it has kept up for a while."""

from collections.abc import Callable
from dataclasses import dataclass

GROW_LAG_S = 6.0
"""The oldest waiting record is older than that: a consumer that keeps up is one or two seconds behind."""
GROW_AFTER_S = 4.0
"""So long without a break: a process takes two seconds to start, and most delays are over by then."""
SHRINK_LAG_S = 4.0
"""Idle partitions are looked at every two seconds."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of the number of consumers. More than there are partitions would have nothing to do."""

    least: int
    most: int

    @property
    def highest(self) -> int:
        """Numbers below this are those that a consumer can have."""
        return max(self.least, self.most)

    def within(self, partitions: int) -> "Bounds":
        """As far as these partitions have work for them."""
        most = max(1, min(self.most, partitions))
        return Bounds(min(self.least, most), most)


class PoolSize:
    """The wanted size of one group's pool. One step at a time, so that the lag has time to tell whether it helped."""

    def __init__(self, size: int, shrink_after_s: float, clock: Callable[[], float]) -> None:
        """`shrink_after_s`: what grew for a peak waits so long for the next one. `clock`: seconds, never going back."""
        self._shrink_after_s = shrink_after_s
        self.size = size
        self._clock = clock
        self._behind_since: float | None = None
        self._calm_since: float | None = None

    def look(self, lag_s: float, bounds: Bounds) -> int:
        """Take note of the lag, and give the size that is right now."""
        now = self._clock()
        self._behind_since = (self._behind_since or now) if lag_s > GROW_LAG_S else None
        self._calm_since = (self._calm_since or now) if lag_s <= SHRINK_LAG_S else None
        if self._behind_since is not None and now - self._behind_since >= GROW_AFTER_S:
            self._step(1, now)
        elif self._calm_since is not None and now - self._calm_since >= self._shrink_after_s:
            self._step(-1, now)
        self.size = max(bounds.least, min(bounds.most, self.size))
        return self.size

    def _step(self, change: int, now: float) -> None:
        """The next step has to wait as long as this one did."""
        self.size += change
        self._behind_since = None if self._behind_since is None else now
        self._calm_since = None if self._calm_since is None else now

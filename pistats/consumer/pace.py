"""How often a partition is committed: every half second, and less often when flushes take long."""

SHARE = 0.25
"""Of the time that flushes may take. One partition then leaves room for the others, and for mongod."""
WEIGHT = 0.3
"""Of the newest flush in the moving average: one slow flush changes little, a slow minute everything."""


class FlushPace:
    """The time to gather records before a flush, between two bounds. Under load flushes become fewer and larger.

    `interval = mean duration · (1 - SHARE) / SHARE`, the mean being an exponentially weighted one.
    """

    def __init__(self, least_s: float, most_s: float) -> None:
        """The bounds in seconds; `least_s` wins over a smaller `most_s`."""
        self._least_s = least_s
        self._most_s = max(least_s, most_s)
        self._mean_s = 0.0

    @property
    def interval_s(self) -> float:
        """How long to gather now."""
        return min(self._most_s, max(self._least_s, self._mean_s * (1 - SHARE) / SHARE))

    def flushed(self, took_s: float) -> float:
        """A flush has taken so long; how long to gather for the next one."""
        self._mean_s += WEIGHT * (took_s - self._mean_s)
        return self.interval_s

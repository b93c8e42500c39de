"""What the consumers measure of themselves. `METRICS` lists it; a shell exports it, here nothing is known of how.

No label can take a value that a client chooses: groups are the operator's, partitions at most 64, steps and reasons
closed lists.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is measured. The unit is the end of its name; a counter's name ends in `_total`."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    description: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()
    """Upper ends of a histogram's buckets."""


GROUP_PARTITION = ("group", "partition")

LAG_EVENTS = Metric("pistats_lag_events", "gauge", "Events that are stored and not yet consumed.", GROUP_PARTITION)
LAG_SECONDS = Metric(
    "pistats_lag_seconds", "gauge", "Age of the last event consumed while more wait; 0 when none do.", GROUP_PARTITION
)
EVENTS = Metric("pistats_consumed_events_total", "counter", "Events consumed, dead letters included.", GROUP_PARTITION)
COMMIT_SECONDS = Metric(
    "pistats_commit_seconds",
    "histogram",
    "The transaction of one flush.",
    ("group",),
    (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
BATCH_EVENTS = Metric(
    "pistats_batch_events",
    "histogram",
    "Events of one flush.",
    ("group",),
    (1, 10, 50, 100, 500, 1_000, 2_000, 5_000),
)
STEP_SECONDS = Metric(
    "pistats_enrich_step_seconds",
    "histogram",
    "One step of the enrichment for one event, on the average of a batch.",
    ("step",),
    (0.000_001, 0.000_002, 0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_5, 0.005, 0.1, 1.0),
)
DEAD_LETTERS = Metric("pistats_dead_letters_total", "counter", "Events that became dead letters.", ("group", "reason"))
DUPLICATES = Metric(
    "pistats_duplicates_total", "counter", "Events that were stored before and acknowledged again.", GROUP_PARTITION
)
FENCED = Metric(
    "pistats_fenced_total", "counter", "Flushes refused because another consumer has the partition.", GROUP_PARTITION
)

METRICS = (
    LAG_EVENTS,
    LAG_SECONDS,
    EVENTS,
    COMMIT_SECONDS,
    BATCH_EVENTS,
    STEP_SECONDS,
    DEAD_LETTERS,
    DUPLICATES,
    FENCED,
)
"""All of them. `docs/OPERATIONS.md` has the table."""


class Recorder(Protocol):
    """Takes measurements. Never raises, never waits."""

    def record(self, metric: Metric, value: float, labels: Labels) -> None:
        """A gauge is now `value`, a counter grows by it, a histogram sees it once. `labels`: one per metric's label."""


class NoRecorder:
    """Measures nothing."""

    def record(self, metric: Metric, value: float, labels: Labels) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True)
class PartitionMetrics:
    """What one partition's consumer in one group has to say."""

    recorder: Recorder
    group: str
    partition: int

    def flushed(self, events: int, commit_s: float, duplicates: int, dead_letters: Mapping[str, int]) -> None:
        """A flush is committed. `dead_letters`: how many, by reason."""
        here, group = self._here(), {"group": self.group}
        self.recorder.record(EVENTS, events, here)
        self.recorder.record(BATCH_EVENTS, events, group)
        self.recorder.record(COMMIT_SECONDS, commit_s, group)
        if duplicates > 0:
            self.recorder.record(DUPLICATES, duplicates, here)
        for reason, count in dead_letters.items():
            self.recorder.record(DEAD_LETTERS, count, {**group, "reason": reason})

    def lag(self, events: int, seconds: float) -> None:
        """How far behind it is now."""
        self.recorder.record(LAG_EVENTS, events, self._here())
        self.recorder.record(LAG_SECONDS, seconds, self._here())

    def fenced(self) -> None:
        """What it wanted to write was refused."""
        self.recorder.record(FENCED, 1, self._here())

    def _here(self) -> dict[str, str]:
        return {"group": self.group, "partition": str(self.partition)}

"""What is measured, and that no label takes a value from outside."""

from pathlib import Path

from pistats.enrich import STEPS, EnrichContext, enrich_batch
from pistats.metrics import METRICS, Labels, Metric, PartitionMetrics

OPERATIONS = Path(__file__).parents[3] / "docs" / "OPERATIONS.md"
LABELS = {"group", "partition", "step", "reason"}


class Recorded:
    """Keeps measurements by metric and labels."""

    def __init__(self) -> None:
        self.values: list[tuple[str, float, Labels]] = []

    def record(self, metric: Metric, value: float, labels: Labels) -> None:
        assert set(labels) == set(metric.labels), metric.name
        self.values.append((metric.name, value, labels))


def test_every_metric_is_documented_and_has_known_labels_only() -> None:
    text = OPERATIONS.read_text()
    for metric in METRICS:
        assert f"`ray_{metric.name}`" in text, metric.name
        assert set(metric.labels) <= LABELS
        assert (metric.kind == "histogram") == bool(metric.bounds)
        assert (metric.kind == "counter") == metric.name.endswith("_total")


def test_a_flush_is_recorded_with_the_labels_of_its_metrics() -> None:
    recorded = Recorded()
    metrics = PartitionMetrics(recorded, "live", 3)
    metrics.flushed(50, 0.01, 2, {"step_failed": 1})
    metrics.flushed(1, 0.01, 0, {})
    metrics.lag(7, 1.5)
    metrics.fenced()
    names = [name for name, _, _ in recorded.values]
    assert names.count("pistats_consumed_events_total") == 2
    assert names.count("pistats_duplicates_total") == 1
    assert ("pistats_dead_letters_total", 1, {"group": "live", "reason": "step_failed"}) in recorded.values
    assert ("pistats_lag_events", 7, {"group": "live", "partition": "3"}) in recorded.values
    assert ("pistats_fenced_total", 1, {"group": "live", "partition": "3"}) in recorded.values


def test_steps_are_timed_once_a_batch_and_the_outcomes_stay_the_same() -> None:
    context = EnrichContext.standard()
    payload = (
        b'{"site":"s","event_id":"e","visitor_id":"v","name":"click","received_time":1,"url":"https://a.example/b"}'
    )
    timed: list[str] = []
    plain = enrich_batch([payload] * 7, 0, range(7), context)
    outcomes = enrich_batch([payload] * 7, 0, range(7), context, lambda step, _: timed.append(step))
    assert outcomes == plain
    assert timed == ["decode", *(name for name, _ in STEPS)]

"""Measurements as Ray exports them: every node's metrics port has them, for Prometheus to scrape."""

from typing import Any

from ray.util import metrics

from pistats.metrics import METRICS, Labels, Metric


class RayRecorder:
    """Hands measurements to Ray, which prefixes their names with `ray_`."""

    def __init__(self) -> None:
        self._exported = {metric.name: _exported(metric) for metric in METRICS}

    def record(self, metric: Metric, value: float, labels: Labels) -> None:
        """See `Recorder.record`."""
        exported, tags = self._exported[metric.name], dict(labels)
        if metric.kind == "gauge":
            exported.set(value, tags)
        elif metric.kind == "counter":
            exported.inc(value, tags)
        else:
            exported.observe(value, tags)


def _exported(metric: Metric) -> Any:
    if metric.kind == "gauge":
        return metrics.Gauge(metric.name, metric.description, metric.labels)
    if metric.kind == "counter":
        return metrics.Counter(metric.name, metric.description, metric.labels)
    return metrics.Histogram(metric.name, metric.description, list(metric.bounds), metric.labels)

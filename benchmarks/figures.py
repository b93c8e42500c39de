"""Figures of a benchmark, their targets, and the file that keeps them."""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should reach."""

    relation: Literal[">=", "<="]
    value: float

    def met_by(self, value: float) -> bool:
        return value >= self.value if self.relation == ">=" else value <= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str
    target: Target | None = None

    @property
    def verdict(self) -> str:
        """Empty without a target."""
        if self.target is None:
            return ""
        return (
            f"{'met' if self.target.met_by(self.value) else 'MISSED'} ({self.target.relation} {self.target.value:,g})"
        )


@dataclass(frozen=True, slots=True)
class Result:
    """All figures of one benchmark, and whatever explains them."""

    benchmark: str
    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    """Tables and texts for a reader who wants to know more."""


def save(result: Result, context: dict[str, Any], directory: Path = RESULTS) -> Path:
    """Write `<date>-<benchmark>.json`; a second run of the same day replaces the first."""
    directory.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = directory / f"{now:%Y-%m-%d}-{result.benchmark}.json"
    document = {"benchmark": result.benchmark, "time": now.isoformat(timespec="seconds"), **context}
    document["figures"] = [{**asdict(figure), "verdict": figure.verdict} for figure in result.figures]
    document["details"] = result.details
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    return path

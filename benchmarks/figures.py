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

    @property
    def misses(self) -> bool:
        """Whether a target was missed."""
        return any(figure.verdict.startswith("MISSED") for figure in self.figures)


class Figures:
    """The figures of a benchmark that is under way; each is printed as soon as it is there."""

    def __init__(self, benchmark: str) -> None:
        self._benchmark = benchmark
        self._figures: list[Figure] = []

    def add(self, name: str, value: float, unit: str, target: Target | None = None) -> None:
        """Keeps three digits behind the point of small values, none of large ones."""
        figure = Figure(name, round(value, 3) if abs(value) < 1_000 else round(value), unit, target)
        self._figures.append(figure)
        print(f"{name:<60}{figure.value:>14,.10g} {unit:<20} {figure.verdict}".rstrip(), flush=True)

    def result(self, **details: Any) -> Result:
        """All of them."""
        return Result(self._benchmark, self._figures, details)


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

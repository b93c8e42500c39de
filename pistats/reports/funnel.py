"""Funnels: how many visitors went through steps, one after the other, within a time."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pistats.errors import QueryError
from pistats.reports.history import check_range
from pistats.sites import Site
from pistats.warehouse.condition import compile_condition, is_text
from pistats.warehouse.engine import Connection, QueryEngine, Source
from pistats.warehouse.periods import SiteDays
from pistats.warehouse.sessions import MARGIN_MS
from pistats.warehouse.steps import Chain, StepCounts, count_steps

MAX_STEPS = 10
MAX_WINDOW_S = 90 * 86_400
MAX_NAME_CHARS = 64


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """An event by its name, and a condition that it must meet (`pistats.warehouse.condition`)."""

    name: str
    where: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelQuery:
    """One funnel over the events of a range of days in the site's zone, both inclusive. Bots are left out.

    `order` "ordered": every step happens after the one before, other events may lie between. "strict": nothing lies
    between, but `engagement` and `identify`, which the tracker sends by itself. "any": the steps up to each one happen
    in any order. All within `window_s` seconds of the first of them.
    """

    steps: tuple[FunnelStep, ...]
    from_date: date
    to_date: date
    window_s: int = 86_400
    order: Literal["ordered", "strict", "any"] = "ordered"

    def __post_init__(self) -> None:
        check_range(self.from_date, self.to_date)
        if not 1 <= len(self.steps) <= MAX_STEPS:
            raise QueryError(f"A funnel of {len(self.steps)} steps: give 1 to {MAX_STEPS}.")
        for step in self.steps:
            if not (step.name and is_text(step.name, MAX_NAME_CHARS)):
                raise QueryError(f"A step's `name` is the name of an event: 1 to {MAX_NAME_CHARS} characters.")
        if not 1 <= self.window_s <= MAX_WINDOW_S:
            raise QueryError(f"`window_s` is {self.window_s}; it has to be from 1 to {MAX_WINDOW_S:,} seconds.")
        if self.order not in ("ordered", "strict", "any"):
            raise QueryError(f"`order` cannot be {self.order[:40]!r}: use ordered, strict or any.")


@dataclass(frozen=True, slots=True)
class FunnelStepResult:
    """Visitors that came as far as this step, their share of those of the first step, and the median way there.

    `median_s`: seconds from the step before, over each visitor's first chain that reached this step ("any": from the
    first to the last of the steps so far). None for the first step and where nobody came.
    """

    visitors: int
    share: float
    median_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelReport:
    """One result per step, in order. `share` is 0 when nobody did the first step."""

    steps: tuple[FunnelStepResult, ...]
    complete_through: int | None


class FunnelAnswer:
    """Answers funnel questions of any site."""

    def __init__(self, source: Source, engine: QueryEngine) -> None:
        self._source = source
        self._engine = engine

    async def of(self, site: Site, query: FunnelQuery) -> FunnelReport:
        """The report; see `FunnelReport`. Reads only, so it may be repeated."""
        days = SiteDays(site.timezone, query.from_date, query.to_date)
        steps = tuple(
            (step.name, None if step.where is None else compile_condition(step.where, prefix=f"s{number}c"))
            for number, step in enumerate(query.steps)
        )
        asked = Chain(days, steps, query.window_s * 1_000, query.order)
        margin = MARGIN_MS if any(where is not None and where.needs_session for _, where in steps) else 0
        events = await self._source.events(site.name, days.from_ms - margin, days.to_ms + margin)

        def work(connection: Connection) -> StepCounts:
            return count_steps(connection, asked)

        counts = await self._engine.call(events, work)
        first = counts.visitors[0]
        results = (
            FunnelStepResult(visitors, visitors / first if first else 0.0, None if took is None else took / 1_000)
            for visitors, took in zip(counts.visitors, counts.median_ms, strict=True)
        )
        return FunnelReport(steps=tuple(results), complete_through=events.complete_through)

"""The retention grid: cohorts from the newest to the oldest, shares as the depth of one hue, a weighted mean on top."""

from collections.abc import Sequence
from datetime import date, timedelta

from dashboard.element import LOADING, Data, Element
from pistats import format as fmt
from pistats.glossary import GLOSSARY
from pistats.reports.retention import Cohort, RetentionQuery, RetentionReport

COHORTS = Element("cohorts")

UNITS = {"day": "Day", "week": "Week", "month": "Month"}


def cohorts_data(
    query: RetentionQuery,
    report: RetentionReport,
    picked: str = "",
    *,
    clicks: bool = True,
    fresh: str = "",
    note: str = "",
) -> Data:
    """The element's data. A cell's `key` is `COHORT.N`: the start of its cohort, and its period after it.

    `clicks`: a cell may be clicked, to see who is in it. `fresh`: how far the numbers reach, in words.
    `note`: stands below the grid.
    """
    cohorts = from_the_first(report.cohorts)
    unit = UNITS[query.granularity]
    width = max((len(cohort.returned) for cohort in cohorts), default=0)
    means = [weighted_mean(cohorts, n) for n in range(width)]
    cells = [
        cohort.returned[n] / cohort.size for cohort in cohorts if cohort.size for n in range(1, len(cohort.returned))
    ]
    deepest = max(cells, default=0) or 1
    return {
        **_head(query, width, fresh),
        "size": fmt.number(sum(cohort.size for cohort in cohorts)),
        "deepest": fmt.percent(deepest),
        "mean": [_mean(mean, n, unit) for n, mean in enumerate(means)],
        "clicks": clicks,
        "rows": [_row(query, cohort, deepest, picked, clicks) for cohort in reversed(cohorts)],
        "before": " ".join(
            part for part in (_before(query, cohorts) if 0 < len(cohorts) < len(report.cohorts) else "", note) if part
        ),
        "empty": None if cohorts else _empty(),
    }


def loading_cohorts(query: RetentionQuery, cohorts: int, fresh: str) -> Data:
    """The shape of so many cohorts: all that the question alone says, so that the answer moves nothing."""
    return {**LOADING, **_head(query, cohorts, fresh), "deepest": fmt.percent(1), "cohorts": cohorts}


def _cohort(query: RetentionQuery) -> str:
    if query.mode != "first":
        return "Active"
    return "First did it" if query.event else "First seen"


def _head(query: RetentionQuery, width: int, fresh: str) -> Data:
    unit = UNITS[query.granularity]
    return {
        "title": f"{unit}s after the first" if query.mode == "first" else f"{unit}s after",
        "title_says": GLOSSARY["retention"].definition,
        "says": says(query),
        "fresh": fresh,
        "fresh_says": GLOSSARY["complete_through"].definition,
        "cohort": _cohort(query),
        "size_says": GLOSSARY["cohort" if query.mode == "first" else "recurring_cohort"].definition,
        "mean_says": GLOSSARY["weighted_mean"].definition,
        "heads": [f"{unit} {n}" for n in range(width)],
    }


def from_the_first(cohorts: Sequence[Cohort]) -> Sequence[Cohort]:
    """Without those before the first that anyone is in. The report has one for every period asked, as history has."""
    return cohorts[next((at for at, cohort in enumerate(cohorts) if cohort.size), len(cohorts)) :]


def weighted_mean(cohorts: Sequence[Cohort], n: int) -> tuple[int, int] | None:
    """Who returned in period `n`, and of how many, over all cohorts for which that period is over; None without any."""
    done = [cohort for cohort in cohorts if cohort.size and n < len(cohort.returned) and cohort.complete[n]]
    if not done:
        return None
    return sum(cohort.returned[n] for cohort in done), sum(cohort.size for cohort in done)


def says(query: RetentionQuery) -> str:
    """The question of the grid as a sentence of ours. Names of events are not in it: they are hostile."""
    if query.mode == "first":
        who = "Visitors by the {} they first did it" if query.event else "Visitors by the {} they were first seen"
    else:
        who = "Visitors by each {} they did it" if query.event else "Visitors by each {} they were active"
    back = "that came back in a later {}" if query.returns == "on" else "that came back in that {} or later"
    return f"{who.format(query.granularity)}, and the share of them {back.format(query.granularity)}."


def cohort_label(start: date, granularity: str) -> str:
    """What a cohort's row is called."""
    if granularity == "week":
        return fmt.days(start, start + timedelta(days=6))
    return f"{start:%B %Y}" if granularity == "month" else f"{start:%a} {start.day} {start:%b}"


def _before(query: RetentionQuery, cohorts: Sequence[Cohort]) -> str:
    who = "did this" if query.event else "was first seen" if query.mode == "first" else "was active"
    return f"Nobody {who} before {fmt.day(cohorts[0].start)}: earlier {query.granularity}s are left out."


def _row(query: RetentionQuery, cohort: Cohort, deepest: float, picked: str, clicks: bool) -> Data:
    return {
        "label": cohort_label(cohort.start, query.granularity),
        "size": fmt.number(cohort.size),
        "cells": [_cell(query, cohort, n, deepest, picked, clicks) for n in range(len(cohort.returned))]
        if cohort.size
        else [],
    }


def _cell(query: RetentionQuery, cohort: Cohort, n: int, deepest: float, picked: str, clicks: bool) -> Data:
    share = cohort.returned[n] / cohort.size
    key = f"{cohort.start.isoformat()}.{n}"
    open_ = not cohort.complete[n]
    unit = UNITS[query.granularity].lower()
    counted = f"{fmt.exact(cohort.returned[n])} of {fmt.exact(cohort.size)} visitors"
    who = "\nClick to see who." if clicks else ""
    so_far = f"\nThis {unit} is not over yet." if open_ else ""
    return {
        "key": key,
        "text": fmt.percent(share),
        # Period 0 is nearly everyone: the others are deep in relation to each other, or the grid would be pale.
        "share": min(1.0, share / deepest),
        "says": f"{cohort_label(cohort.start, query.granularity)}, {unit} {n}: {counted}{so_far}{who}",
        "open": open_,
        # That everyone was there at the beginning is no news: it would outshine what came of it.
        "whole": n == 0 and share == 1,
        "picked": key == picked,
    }


def _mean(mean: tuple[int, int] | None, n: int, unit: str) -> Data | None:
    if mean is None:
        return None
    returned, size = mean
    return {
        "text": fmt.percent(returned / size),
        "says": f"{fmt.exact(returned)} of {fmt.exact(size)} visitors, of all cohorts whose {unit.lower()} {n} is over",
    }


def _empty() -> list[str]:
    return [
        "No cohort yet",
        "A row appears with the first visitor of a period. Choose a longer range, or another event, above.",
    ]

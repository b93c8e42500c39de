"""A funnel as bars from top to bottom, and between them who went on and how fast."""

from collections.abc import Sequence

from dashboard.element import LOADING, Data, Element
from pistats import format as fmt
from pistats.glossary import GLOSSARY
from pistats.reports.funnel import FunnelReport, FunnelStepResult

STEPS = Element("steps")


def steps_data(names: Sequence[tuple[str, str]], report: FunnelReport, window: str) -> Data:
    """The element's data; `names` holds each step's event and what else it must meet, in words."""
    first, last = report.steps[0], report.steps[-1]
    return {
        "figure": fmt.percent(last.share) if first.visitors else fmt.NOTHING,
        "figure_says": GLOSSARY["funnel"].definition,
        "says": _says(report, window),
        "steps": [_step(index, names[index], report.steps) for index in range(len(report.steps))],
        "empty": None
        if first.visitors
        else [
            "Nobody took the first step",
            "Choose a longer period or another event for step 1, or take a filter away.",
        ],
    }


def loading_steps(names: Sequence[tuple[str, str]]) -> Data:
    """The shape of these steps: the same lines with the same names, and no number yet."""
    bare = {"visitors": fmt.NOTHING, "exact": "", "share": fmt.NOTHING, "part": None}
    nothing = {"went_on": "", "median": "", "lost": ""}
    steps = [
        {"number": index + 1, "name": event, "detail": detail, **bare, "way": nothing if index else None}
        for index, (event, detail) in enumerate(names)
    ]
    return {**LOADING, "steps": steps}


def _says(report: FunnelReport, window: str) -> str:
    first, last = report.steps[0], report.steps[-1]
    if len(report.steps) == 1:
        return f"{fmt.exact(first.visitors)} visitors took the only step. Add a second one to see who goes on."
    return f"{fmt.exact(last.visitors)} of {fmt.exact(first.visitors)} visitors went all the way {window}."


def _step(index: int, name: tuple[str, str], steps: Sequence[FunnelStepResult]) -> Data:
    step = steps[index]
    return {
        "number": index + 1,
        "name": name[0],
        "detail": name[1],
        "visitors": fmt.number(step.visitors),
        "exact": f"{fmt.exact(step.visitors)} visitors",
        "share": fmt.percent(step.share),
        "part": step.share,
        "way": _way(steps[index - 1], step) if index else None,
    }


def _way(before: FunnelStepResult, step: FunnelStepResult) -> Data:
    if not before.visitors:
        return {"went_on": "", "median": "", "lost": "nobody was left to go on"}
    lost = before.visitors - step.visitors
    return {
        "went_on": fmt.percent(step.visitors / before.visitors),
        "median": "" if step.median_s is None else fmt.duration(step.median_s),
        "lost": f"{fmt.number(lost)} did not" if lost else "everyone did",
    }

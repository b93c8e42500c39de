"""The steps of a funnel: in the address as `step=NAME` or `step=NAME~OP~PATH`, and on the page as rows to edit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from dashboard import query_state
from pistats.enrich.session import PASSIVE
from pistats.reports.funnel import MAX_NAME_CHARS, MAX_STEPS

OPS = {
    "": "on any page",
    "eq": "on page",
    "starts_with": "page begins with",
    "contains": "page contains",
    "ends_with": "page ends with",
}

MAX_PATH_CHARS = 300


@dataclass(frozen=True, slots=True)
class Step:
    """An event, and what its page has to be; no `op`: any page."""

    event: str
    op: str = ""
    path: str = ""

    def __str__(self) -> str:
        """As it stands in the address."""
        event = self.event.replace("%", "%25").replace("~", "%7E")
        return f"{event}~{self.op}~{self.path}" if self.op else event

    def condition(self) -> dict[str, Any] | None:
        """For the report; None when any page will do, or none was written yet."""
        return {"field": "path", "op": self.op, "value": self.path} if self.op and self.path else None


def parse_steps(texts: Sequence[str]) -> tuple[Step, ...]:
    """The steps of an address; what is none is left out."""
    steps = []
    for text in texts[:MAX_STEPS]:
        event, _, condition = text.partition("~")
        op, _, path = condition.partition("~")
        name = event.replace("%7E", "~").replace("%25", "%")[:MAX_NAME_CHARS]
        if name:
            steps.append(Step(name, op if op in OPS else "", path[:MAX_PATH_CHARS] if op in OPS else ""))
    return tuple(steps)


def default_steps(names: Sequence[str]) -> tuple[Step, ...]:
    """A funnel to begin with: from a page view to the site's most frequent event of its own."""
    own = [name for name in names if name not in PASSIVE]
    return (Step("page_view"), Step(own[0] if own else "page_view"))


def condition_words(step: Step) -> str:
    """What a step must meet beside its event, in words."""
    return f"{OPS[step.op]} {step.path}" if step.condition() else ""


def edit_steps(steps: tuple[Step, ...], names: Sequence[str]) -> None:
    """Draws a row for each step. Every change goes to the address, from where the next run takes it."""
    for index, step in enumerate(steps):
        _row(steps, index, step, names)
    if len(steps) < MAX_STEPS:
        st.button(
            "Add a step",
            icon=":material/add:",
            key="step_add",
            on_click=_put,
            args=((*steps, _next_step(steps, names)),),
        )


def _row(steps: tuple[Step, ...], index: int, step: Step, names: Sequence[str]) -> None:
    number, last = index + 1, len(steps) - 1
    earlier = moved(steps, index, -1) if index > 0 else None
    later = moved(steps, index, 1) if index < last else None
    with st.container(key=f"step_row_{index}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            with st.container(key=f"step_number_{index}", width="content"):
                st.markdown(str(number), width="content")
            options = list(dict.fromkeys((step.event, *names)))
            _bound(st.selectbox, f"Event of step {number}", options, steps, index, "event", step.event)
            look: Any = {"format_func": OPS.__getitem__, "width": 160}
            _bound(st.selectbox, f"Page of step {number}", list(OPS), steps, index, "op", step.op, **look)
            with st.container(horizontal=True, width="content", gap="xsmall"):
                _button("arrow_upward", f"Move step {number} up", index, earlier)
                _button("arrow_downward", f"Move step {number} down", index, later)
                _button("close", f"Remove step {number}", index, (*steps[:index], *steps[index + 1 :]) or None)
        if step.op:
            _text(steps, index, step)


def moved(steps: tuple[Step, ...], index: int, by: int) -> tuple[Step, ...]:
    """The steps with one of them moved by one place."""
    order = list(steps)
    order.insert(index + by, order.pop(index))
    return tuple(order)


def _next_step(steps: tuple[Step, ...], names: Sequence[str]) -> Step:
    taken = {step.event for step in steps}
    return Step(next((name for name in names if name not in taken), "page_view"))


def _put(steps: tuple[Step, ...]) -> None:
    query_state.put({"step": [str(step) for step in steps]})


def _bound(
    draw: Any, label: str, options: list[str], steps: tuple[Step, ...], index: int, field: str, value: str, **look: Any
) -> None:
    key = f"step_{index}_{field}"
    st.session_state[key] = value
    draw(label, options, key=key, label_visibility="collapsed", on_change=_changed(steps, index, field, key), **look)


def _text(steps: tuple[Step, ...], index: int, step: Step) -> None:
    key = f"step_{index}_path"
    st.session_state[key] = step.path
    st.text_input(
        f"Path of step {index + 1}",
        key=key,
        max_chars=MAX_PATH_CHARS,
        placeholder="/pricing",
        label_visibility="collapsed",
        on_change=_changed(steps, index, "path", key),
    )


def _changed(steps: tuple[Step, ...], index: int, field: str, key: str) -> Callable[[], None]:
    def change() -> None:
        new = replace(steps[index], **{field: str(st.session_state.get(key) or "")})
        _put((*steps[:index], new, *steps[index + 1 :]))

    return change


def _button(icon: str, label: str, index: int, then: tuple[Step, ...] | None) -> None:
    """Changes the steps to `then`; None: there is nothing to do."""
    look: Any = {"icon": f":material/{icon}:", "help": label, "type": "tertiary"}
    st.button(
        label, key=f"step_button_{icon}_{index}", disabled=then is None, on_click=_put, args=(then or (),), **look
    )

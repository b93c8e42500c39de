"""The one way in which a page keeps what was chosen in its address, so that a link shows what its sender saw.

The address is the truth. A widget shows what it says, and a change of the widget changes the address. Defaults are
left out of it. A page that is opened without parameters gets back what this browser's session last chose there;
the site, the dates and the filters go along to every page.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import streamlit as st

SHARED = ("site", "period", "from", "to", "filter", "bots")
"""Parameters that mean the same on every page and are kept when the page changes."""

KEPT = ("site",)
"""Kept even when the next page is opened with parameters of its own: a link to a visitor needs no site."""

MAX_VALUES, MAX_CHARS = 20, 2_048
"""More than any page writes; the rest of a longer address is ignored."""

Parameters = dict[str, tuple[str, ...]]
Changes = Mapping[str, str | Sequence[str] | None]

PAGE, MEMORY = "address_page", "address_memory"


def settled(
    asked: Mapping[str, Sequence[str]], memory: Mapping[str, Parameters], page: str, last: str | None
) -> Parameters:
    """What the address of `page` should say: `asked` is what it says now, `last` the page that was shown before.

    `memory` holds the parameters of each page as they were last seen.
    """
    said = {name: tuple(value[:MAX_CHARS] for value in values[:MAX_VALUES]) for name, values in asked.items()}
    if last is None or page == last:
        return said
    before = memory.get(last, {})
    own = {name: values for name, values in memory.get(page, {}).items() if name not in SHARED}
    taken = KEPT if said else SHARED
    return {**({} if said else own), **{name: before[name] for name in taken if name in before}, **said}


def begin(page: str) -> None:
    """Settles the address of `page`, which is about to be shown. Has to come first in every run of the script."""
    asked = {name: st.query_params.get_all(name) for name in st.query_params}
    memory: dict[str, Parameters] = st.session_state.setdefault(MEMORY, {})
    parameters = settled(asked, memory, page, st.session_state.get(PAGE))
    st.session_state[PAGE] = page
    _write(parameters)


def values(name: str) -> tuple[str, ...]:
    """All values of a parameter, in order."""
    return _now().get(name, ())


def value(name: str, default: str = "") -> str:
    """The first value of a parameter."""
    return next(iter(values(name)), default)


def put(changes: Changes) -> None:
    """Changes the address: a string, several values, or None and nothing to take the parameter out.

    In a callback it counts for the run that follows.
    """
    parameters = dict(_now())
    for name, change in changes.items():
        given = (change,) if isinstance(change, str) else tuple(change or ())
        if given and any(given):
            parameters[name] = given
        else:
            parameters.pop(name, None)
    _write(parameters)


def choose(
    label: str,
    options: Mapping[str, str],
    name: str,
    default: str,
    *,
    kind: Literal["segments", "select"] = "segments",
    along: Callable[[str], Changes] | None = None,
    **look: Any,
) -> str:
    """A choice of one of `options` (value: what people read) that lives in the address as `name`; gives the value.

    Options and labels are ours: Streamlit reads Markdown in them. `along`: what else a choice changes in the address.
    `look` goes to the widget.
    """
    asked = value(name, default)
    chosen = asked if asked in options else default
    key = _key(name)
    st.session_state[key] = chosen
    draw: Any = st.segmented_control if kind == "segments" else st.selectbox
    draw(
        label,
        list(options),
        key=key,
        format_func=options.__getitem__,
        label_visibility=look.pop("label_visibility", "collapsed"),
        on_change=_changed(name, key, default, along),
        **look,
    )
    return chosen


def typed(label: str, name: str, default: str = "", **look: Any) -> str:
    """A line of text that lives in the address as `name`."""
    chosen, key = value(name, default), _key(name)
    st.session_state[key] = chosen
    st.text_input(label, key=key, max_chars=look.pop("max_chars", 256), on_change=_changed(name, key, default), **look)
    return chosen


def _changed(name: str, key: str, default: str, along: Callable[[str], Changes] | None = None) -> Callable[[], None]:
    def change() -> None:
        picked = st.session_state.get(key)
        if picked is not None:  # a second click on a segment takes the choice away: it stays
            more = along(str(picked)) if along else {}
            put({name: None if picked == default else str(picked), **more})

    return change


def _key(name: str) -> str:
    return f"address:{st.session_state.get(PAGE, '')}:{name}"


def _now() -> Parameters:
    memory: dict[str, Parameters] = st.session_state.get(MEMORY, {})
    return memory.get(st.session_state.get(PAGE, ""), {})


def _write(parameters: Parameters) -> None:
    st.session_state[MEMORY][st.session_state[PAGE]] = parameters
    if {name: tuple(st.query_params.get_all(name)) for name in st.query_params} != parameters:
        st.query_params.from_dict({name: list(values) for name, values in parameters.items()})

"""Our own elements: markup, look and script from `assets/elements`, values from Python, formatted and as plain data.

Event text goes to the browser as data and onto the page as `textContent`; no element reads HTML or Markdown in it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import colours

ASSETS = Path(__file__).parent / "assets" / "elements"

Data = dict[str, Any]
Heard = Callable[[Any], None]
"""What a page does with something that the element says; runs before the page is drawn again."""

LOADING: Data = {"loading": True}
"""The element shows the shape of what will come."""


class Element:
    """One kind of element, registered once. `show` may be called for several places, each with a key of its own."""

    def __init__(self, name: str) -> None:
        files = {"css": ("base", name), "js": ("base", name)}
        parts = {kind: [(ASSETS / f"{part}.{kind}").read_text("utf-8") for part in files[kind]] for kind in files}
        self._draw: Any = st.components.v2.component(
            f"pistats.{name}",
            html=(ASSETS / f"{name}.html").read_text("utf-8"),
            css="\n".join([colours.SHEET, *parts["css"]]),
            js="\n".join(parts["js"]),
        )

    def show(self, key: str, data: Data, **heard: Heard) -> Any:
        """Draws the element. `heard`: for each thing it may say, what to do; the answer has what it said in this run.

        A rerun with the same key keeps the element and patches what differs.
        """
        callbacks = {f"on_{name}_change": _hear(key, name, do) for name, do in heard.items()}
        # In a list: Streamlit searches the values of a dict for data frames, and imports pandas for that (80 MB).
        return self._draw(key=key, data=[data], **callbacks)


def _hear(key: str, name: str, do: Heard) -> Callable[[], None]:
    def heard() -> None:
        said = st.session_state.get(key)
        value = said.get(name) if said is not None else None
        if value is not None:
            do(value)

    return heard

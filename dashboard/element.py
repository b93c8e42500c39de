"""Our own elements: markup, look and script from `assets/elements`, values from Python, formatted and as plain data.

Event text goes to the browser as data and onto the page as `textContent`; no element reads HTML or Markdown in it.
"""

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
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

ORDER = "element_order"


@dataclass(slots=True)
class Order:
    """Numbers what each element of a browser's session was given, so that the element can tell old from new.

    Streamlit imports an element's script anew for every draw, and Chromium lets those that wait for the first import go
    on in any order: two draws a moment apart change places nearly every second time. The last one has to stay.
    """

    session: str = field(default_factory=lambda: secrets.token_hex(4))
    _given: dict[str, tuple[bytes, int]] = field(default_factory=dict)

    def of(self, key: str, data: Data) -> tuple[str, int]:
        """The session and a number that grows when `data` is not what the element `key` was given last."""
        digest = hashlib.blake2b(json.dumps(data).encode(), digest_size=16).digest()
        before, number = self._given.get(key, (digest, 0))
        self._given[key] = (digest, number + (before != digest))
        return self.session, self._given[key][1]


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
        order: Order = st.session_state.setdefault(ORDER, Order())
        # In a list: Streamlit searches the values of a dict for data frames, and imports pandas for that (80 MB).
        return self._draw(key=key, data=[data, order.of(key, data)], **callbacks)


def _hear(key: str, name: str, do: Heard) -> Callable[[], None]:
    def heard() -> None:
        said = st.session_state.get(key)
        value = said.get(name) if said is not None else None
        if value is not None:
            do(value)

    return heard

"""A table with what can be done about each row, for pages that show a system and not a site."""

from collections.abc import Sequence
from typing import Any, Literal

from dashboard.element import Data, Element, Heard

GRID = Element("grid")

Tone = Literal["", "bad", "ok", "dim"]


def column(name: str, tip: str = "", *, right: bool = False) -> Data:
    """A column; numbers stand at the right. `tip` explains it on hover."""
    return {"name": name, "tip": tip, "right": right}


def cell(text: str, tone: Tone = "") -> Data:
    """One value, formatted."""
    return {"text": text, "tone": tone}


def act(name: str, value: str, label: str) -> Data:
    """Something that can be done: `name` with `value` comes back when it was clicked twice."""
    return {"name": name, "value": value, "label": label}


def row(cells: Sequence[Data], acts: Sequence[Data] | None = None, *, total: bool = False) -> Data:
    """One row. `acts`: None for a table in which nothing can be done."""
    return {"cells": list(cells), "acts": None if acts is None else list(acts), "total": total}


def grid(title: str, says: str, columns: Sequence[Data], rows: Sequence[Data], empty: Sequence[str]) -> Data:
    """The element's data. `empty`: a title and what to do next, when there are no rows."""
    return {"title": title, "says": says, "columns": list(columns), "rows": list(rows), "empty": list(empty)}


def show_grid(key: str, data: Data, heard: Heard | None = None) -> Any:
    """Draws it."""
    return GRID.show(key, data, act=heard or (lambda _: None))

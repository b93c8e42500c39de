"""A table with what can be done about each row, for pages that show a system and not a site; and a row of figures."""

from collections.abc import Sequence
from typing import Any, Literal

from dashboard.element import Data, Element, Heard
from pistats.glossary import GLOSSARY

GRID = Element("grid")
FIGURES = Element("figures")

Tone = Literal["", "bad", "ok", "dim"]


def column(name: str, term: str = "", *, right: bool = False, wide: bool = False, long: bool = False) -> Data:
    """A column; numbers stand at the right. `term` is the key of the definition that is shown on hover.

    On a narrow screen a short table leaves out `wide` columns, and a card gives `long` ones a line of their own.
    """
    return {"name": name, "tip": _definition(term), "right": right, "wide": wide, "long": long}


def cell(text: str, tone: Tone = "") -> Data:
    """One value, formatted."""
    return {"text": text, "tone": tone}


def act(name: str, value: Any, label: str, about: str = "", sure: str = "Sure?") -> Data:
    """Something that can be done: `name` with `value` comes back when it was clicked twice, the second time on `sure`.

    `about` says to people who do not see the row what it is done to.
    """
    return {"name": name, "value": value, "label": label, "about": about, "sure": sure}


def row(
    cells: Sequence[Data],
    acts: Sequence[Data] | None = None,
    *,
    total: bool = False,
    opens: str = "",
    more: Data | None = None,
) -> Data:
    """One row. `acts`: None for a table in which nothing can be done.

    `opens`: what is said when someone wants more of it. `more`: that is shown, see `whole`.
    """
    shown = {"cells": list(cells), "acts": None if acts is None else list(acts), "total": total}
    return {**shown, "opens": opens, "more": more}


def whole(title: str, facts: Sequence[tuple[str, str]], text: str) -> Data:
    """What an open row shows: facts by name, and a long text, all of it."""
    return {"title": title, "facts": [list(fact) for fact in facts], "text": text}


def choice(label: str, value: Any, count: str, *, chosen: bool) -> Data:
    """One way to choose what a table lists, and how much that is."""
    return {"label": label, "value": value, "count": count, "chosen": chosen}


def grid(
    title: str,
    says: str,
    columns: Sequence[Data],
    rows: Sequence[Data],
    empty: Sequence[str],
    *,
    acts: Sequence[Data] = (),
    choices: Sequence[Data] = (),
    short: bool = False,
    fold: int = 0,
) -> Data:
    """The element's data. `empty`: a title and what to do next, when there are no rows. `acts` concern all rows.

    `short`: stays a table on a narrow screen, where others become cards. `fold`: rows that are shown at first.
    """
    shown = {"title": title, "says": says, "columns": list(columns), "rows": list(rows), "empty": list(empty)}
    return {**shown, "acts": list(acts), "choices": list(choices), "short": short, "fold": fold}


def show_grid(key: str, data: Data, heard: Heard | None = None, **more: Heard) -> Any:
    """Draws it. `heard` is told what is to be done; `choose` and `open` what is to be listed and opened."""
    silent: Heard = lambda _: None  # noqa: E731
    return GRID.show(key, data, act=heard or silent, choose=more.get("choose", silent), open=more.get("open", silent))


def figure(name: str, value: str, says: str, tone: Tone = "", term: str = "") -> Data:
    """One figure. `term` is the key of the definition that is shown on hover."""
    return {"name": name, "value": value, "says": says, "tone": tone, "tip": _definition(term)}


def _definition(term: str) -> str:
    return GLOSSARY[term].definition if term else ""


def show_figures(key: str, figures: Sequence[Data]) -> None:
    """Draws the row."""
    FIGURES.show(key, {"figures": list(figures)})

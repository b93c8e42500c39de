"""Colours are said once, and what is written in them can be read: contrasts as WCAG 2.2 reckons them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.colours import ASSETS, SHEET, pairs, theme
from dashboard.login_page import form, starting
from dashboard.run import OPTIONS

Colour = tuple[float, float, float]
"""Red, green and blue, 0 to 1, as sRGB has them."""

LIGHT, DARK = 0, 1

TEXTS = (
    *(("text", on) for on in ("bg", "card", "faint", "fill", "hover")),
    *(("soft", on) for on in ("bg", "card", "faint", "fill", "hover")),
    *(("accent", on) for on in ("bg", "card", "fill")),
    *(("strong", on) for on in ("card", "fill")),
    *(("ok", on) for on in ("card", "fill", "ok-fill")),
    *(("bad", on) for on in ("card", "fill", "faint", "bad-fill")),
    *(("card", on) for on in ("text", "soft", "accent", "strong")),
)
"""Which colour is written on which. What stands on `faint` is a quiet chip, on `hover` the row under the pointer."""

GRAPHICS = (("bar", "card"), ("past", "card"), ("accent", "card"), ("ok", "card"), ("warn", "card"), ("bad", "card"))
"""What a picture is read from. The bars behind the rows of a table are not: the number says the same."""


def reckon(expression: str, known: dict[str, str], scheme: int) -> Colour:
    """A colour of the sheet: a hexadecimal one, a pair, one by name, or a mixture."""
    if found := re.fullmatch(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", expression):
        red, green, blue = (int(part, 16) / 255 for part in found.groups())
        return red, green, blue
    if found := re.fullmatch(r"var\(--([a-z-]+)\)", expression):
        return reckon(known[found[1]], known, scheme)
    if found := re.fullmatch(r"light-dark\((#\w+), (#\w+)\)", expression):
        return reckon(found[scheme + 1], known, scheme)
    found = re.fullmatch(r"color-mix\(in srgb, (\S+) (\d+)%, (\S+)\)", expression)
    assert found, expression
    return mixed(reckon(found[1], known, scheme), reckon(found[3], known, scheme), int(found[2]) / 100)


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (a * share + b * (1 - share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def luminance(colour: Colour) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def said() -> dict[str, str]:
    """Every colour of the sheet by its name, as it is written there for a document."""
    rules = re.findall(r"^:root[^{]*\{([^}]*)\}", SHEET, re.MULTILINE)
    return dict(re.findall(r"--([a-z-]+): ([^;]+);", "".join(rules)))


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_what_is_written_can_be_read(scheme: int) -> None:
    known = said()
    colours = {name: reckon(expression, known, scheme) for name, expression in known.items()}
    found = {f"{one} on {other}": contrast(colours[one], colours[other]) for one, other in TEXTS}
    assert {name: value for name, value in found.items() if value < 4.5} == {}
    seen = {f"{one} on {other}": contrast(colours[one], colours[other]) for one, other in GRAPHICS}
    assert {name: value for name, value in seen.items() if value < 3} == {}


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_a_share_can_be_read_on_every_shade_of_its_cell(scheme: int) -> None:
    turns = re.search(r"clamp\(0, \((\.\d+) - y\)", (ASSETS / "elements" / "cohorts.css").read_text("utf-8"))
    assert turns
    card, accent = (reckon(f"var(--{name})", said(), scheme) for name in ("card", "accent"))
    for depth in range(101):
        shade = mixed(accent, card, depth / 100)
        ink: Colour = (0, 0, 0) if luminance(shade) > float(turns[1]) else (1, 1, 1)
        assert contrast(ink, shade) >= 4.5, depth


def styles() -> Iterator[Path]:
    yield from (path for path in ASSETS.rglob("*") if path.suffix in (".css", ".html") and path.name != "colours.css")
    yield from ASSETS.parent.rglob("*.py")


def test_no_other_file_says_a_colour() -> None:
    """But for the mark, which is a picture."""
    for path in styles():
        text = re.sub(r"<svg.*?</svg>|%3Csvg.*?/svg%3E", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert re.findall(r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b|light-dark\(#", text) == [], path


def test_streamlits_theme_and_the_plain_pages_are_made_of_them() -> None:
    assert theme().items() <= OPTIONS.items()
    assert len(theme()) == 2 * len(pairs())
    for answer in (form("/"), starting()):
        assert SHEET in bytes(answer.body).decode()

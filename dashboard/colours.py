"""The product's colours, said once in `assets/elements/colours.css` for documents, elements and Streamlit alike."""

import re
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"

SHEET = (ASSETS / "elements" / "colours.css").read_text("utf-8")
"""The style sheet. Every document and every element begins its own with it."""

PAIR = re.compile(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")

STREAMLIT = {
    "accent": "primaryColor",
    "bg": "backgroundColor",
    "card": "secondaryBackgroundColor",
    "text": "textColor",
    "line": "borderColor",
}
"""What Streamlit calls each colour that it has to know."""


def pairs() -> dict[str, tuple[str, str]]:
    """Each colour that is not mixed from others, for light and for dark, by its name in the sheet."""
    return {name: (light, dark) for name, light, dark in PAIR.findall(SHEET)}


def theme() -> dict[str, str]:
    """The same colours as options of Streamlit's two themes."""
    known = pairs()
    return {
        f"theme.{scheme}.{option}": known[name][at]
        for at, scheme in enumerate(("light", "dark"))
        for name, option in STREAMLIT.items()
    }

"""The live page's element: its markup, its look and the script that patches it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from dashboard import colours
from dashboard.live_socket import PATH
from dashboard.sign_in import SignIn
from pistats.glossary import GLOSSARY

ASSETS = Path(__file__).parent / "assets" / "live"

SCRIPTS = ("parts.js", "world.js", "connection.js", "page.js")
"""One script in four files: Streamlit takes a component's script as one module."""

WORLD = f"const WORLD = {(ASSETS.parent / 'world' / 'world.json').read_text('utf-8')}"
"""The map's shapes, part of the script: it is the same for everyone, and data would come again with every rerun."""

_element = st.components.v2.component(
    "pistats.live",
    html=(ASSETS / "live.html").read_text("utf-8"),
    css="\n".join([colours.SHEET, (ASSETS / "live.css").read_text("utf-8")]),
    js="\n".join([WORLD, *((ASSETS / name).read_text("utf-8") for name in SCRIPTS)]),
)


def when_empty(site: str, sign_in: SignIn, ingest_url: str, *, seen: bool) -> dict[str, Any]:
    """What the page says while there is nothing to show. `seen`: something has come before, long ago.

    Only who can do something about it is told what to do.
    """
    says = {
        "title": "Nobody in the last days" if seen else "Waiting for the first event",
        "says": "Events have come before. This has to be in the pages of" if seen else "Paste this into the pages of",
        "snippet": f'<script defer src="{ingest_url}/t.js" data-key="WRITE_KEY"></script>',
        "link": f"/site-settings?{urlencode({'site': site})}",
    }
    return says if sign_in.is_admin else {"title": "Nobody in the last days" if seen else "No event yet"}


def live_element(site: str, snapshot: dict[str, Any], empty: dict[str, Any]) -> None:
    """Shows `snapshot` at once and every later one as it comes. A rerun keeps the element and its socket.

    `empty`: see `when_empty`.
    """
    shown = {
        "site": site,
        "snapshot": snapshot,
        "socket": f"{PATH}?{urlencode({'site': site})}",
        "glossary": {key: asdict(term) for key, term in GLOSSARY.items()},
        "empty": empty,
    }
    # In a list: Streamlit searches the values of a dict for data frames, and imports pandas for that (80 MB, seconds).
    _element(key="live", data=[shown])

"""Live: what is happening now. The page is drawn once; from then on its own socket moves it."""

from urllib.parse import urlsplit

import streamlit as st

from dashboard.frame import site_or_hint
from dashboard.live_element import live_element
from dashboard.services import services
from pistats.settings import HttpSettings

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104


def show() -> None:
    """Draws the page for the site in the address."""
    running = services()
    site = site_or_hint()
    if site is None:
        return
    live_element(site, running.hub.snapshot_threadsafe(site), _ingest_url(running.settings.http))


def _ingest_url(http: HttpSettings) -> str:
    """Where a page of the site finds the tracker; a server that listens everywhere is where this page came from."""
    own = urlsplit(st.context.url or "").hostname or "127.0.0.1"
    return f"http://{own if http.host in WILDCARDS else http.host}:{http.port}"

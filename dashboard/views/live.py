"""Live: what is happening now. The page is drawn once; from then on its own socket moves it."""

from dashboard.frame import ingest_url, site_or_hint
from dashboard.live_element import live_element
from dashboard.services import services


def show() -> None:
    """Draws the page for the site in the address."""
    running = services()
    site = site_or_hint()
    if site is None:
        return
    live_element(site, running.hub.snapshot_threadsafe(site), ingest_url())

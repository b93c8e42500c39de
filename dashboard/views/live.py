"""Live: what is happening now. The page is drawn once; from then on its own socket moves it."""

from dashboard.frame import ingest_url, signed_in, site_or_hint
from dashboard.live_element import live_element, when_empty
from dashboard.services import services
from pistats.visitors.retention import ever_seen


def show() -> None:
    """Draws the page for the site in the address."""
    running = services()
    site = site_or_hint()
    if site is None:
        return
    snapshot = running.hub.snapshot_threadsafe(site)
    seen = bool(snapshot.get("feed")) or running.run(ever_seen(running.shown.database, site))
    live_element(site, snapshot, when_empty(site, signed_in(), ingest_url(), seen=seen))

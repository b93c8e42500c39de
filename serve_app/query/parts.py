"""What the routes of the query API work with, made once in the process that serves."""

from dataclasses import dataclass

from pistats.settings import Settings
from pistats.sites import SiteStore
from serve_app.query.shown_group import ShownGroup


@dataclass(slots=True)
class Parts:
    """One per process; `app.state.parts`."""

    settings: Settings
    sites: SiteStore
    shown: ShownGroup
    streams: int = 0
    """Live streams that are open now."""

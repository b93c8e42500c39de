"""What the routes of the query API work with, made once in the process that serves."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request

from pistats.settings import Settings
from pistats.sites import SiteStore
from serve_app.query.erasures import Erasures
from serve_app.query.shown_group import ShownGroup

if TYPE_CHECKING:
    from pistats.reports.reports import Reports


@dataclass(slots=True)
class Parts:
    """One per process; `app.state.parts`."""

    settings: Settings
    sites: SiteStore
    shown: ShownGroup
    erasures: Erasures
    streams: int = 0
    """Live streams that are open now."""


async def reports_of(request: Request) -> "Reports":
    """The reports of the group that is shown now."""
    parts: Parts = request.app.state.parts
    return (await parts.shown.parts()).reports

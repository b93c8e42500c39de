"""What the page scripts may use. Streamlit runs them in this process, so they find it here."""

from dataclasses import dataclass

from dashboard.keeper import Keeper
from pistats.errors import UnavailableError
from pistats.live.hub import LiveHub
from pistats.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """One per process, made when the server starts."""

    settings: Settings
    keeper: Keeper
    hub: LiveHub


_running: Services | None = None


def provide(services: Services | None) -> None:
    """Makes the services known to the pages; None when the server stops."""
    global _running
    _running = services


def services() -> Services:
    """The running server's services."""
    if _running is None:
        raise UnavailableError("The dashboard is not running: start it with `python -m dashboard`.")
    return _running

"""Where reports get their events from."""

from typing import Protocol

from pistats.warehouse.engine import Events


class FoundEvents(Events, Protocol):
    """An `EventSet`, as far as reports look into it."""

    @property
    def complete_through(self) -> int | None:
        """Everything received before it (Unix ms) is in."""


class Source(Protocol):
    """Where reports get events from: `pistats.warehouse.source.EventSource`."""

    async def events(self, site: str, from_ms: int, to_ms: int) -> FoundEvents:
        """The site's events with from_ms <= event_time < to_ms."""

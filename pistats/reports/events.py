"""Events, one by one: every enriched event of a range, in event time, in pages."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from pistats.enrich.event import EnrichedEvent
from pistats.errors import QueryError
from pistats.reports.history import check_range

MAX_EVENTS = 10_000
"""Of one page: some 10 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsQuery:
    """One page of events of a range of days in the site's zone, both inclusive. Bots are in it, flagged.

    `cursor`: the `next_cursor` of the page before; the rest of the query has to stay the same. `filter`: a condition.
    """

    from_date: date
    to_date: date
    visitor: str | None = None
    limit: int = 1_000
    cursor: str | None = None
    filter: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_range(self.from_date, self.to_date)
        if not 1 <= self.limit <= MAX_EVENTS:
            raise QueryError(f"`limit` is {self.limit}; it has to be from 1 to {MAX_EVENTS:,}.")
        if self.visitor is not None and not 1 <= len(self.visitor) <= 128:
            raise QueryError("`visitor` is a visitor's id: 1 to 128 characters.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsPage:
    """Events with all of `FIELDS`, `properties` as an object, session and its pages as the warehouse knows them.

    A cursor names the last event of its page. Events that arrive later take their place in event time: following
    cursors never gives an event twice and skips none that was there when the first page was read.
    """

    events: tuple[EnrichedEvent, ...]
    next_cursor: str | None
    complete_through: int | None

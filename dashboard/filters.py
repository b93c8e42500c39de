"""What a page is filtered by: rows that were clicked, as `filter=country:IN` in the address and as a condition.

Values are written by whoever sends events: they are compared, never interpreted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_FILTERS = 10
"""More than anyone reads in one line; the rest of a longer address is ignored."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One way to break a report down: its name, its field of an event, the word for a missing value."""

    key: str
    name: str
    plural: str
    field: str
    unknown: str = "Not known"


DIMENSIONS = {
    dimension.key: dimension
    for dimension in (
        Dimension("channel", "Channel", "Channels", "channel"),
        Dimension("source", "Source", "Sources", "source"),
        Dimension("campaign", "Campaign", "Campaigns", "campaign", "No campaign"),
        Dimension("page", "Page", "Pages", "path", "No page"),
        Dimension("entry_page", "Entry page", "Entry pages", "entry_page", "No page view"),
        Dimension("exit_page", "Exit page", "Exit pages", "exit_page", "No page view"),
        Dimension("country", "Country", "Countries", "country"),
        Dimension("language", "Language", "Languages", "language"),
        Dimension("device", "Device", "Devices", "device"),
        Dimension("browser", "Browser", "Browsers", "browser"),
        Dimension("os", "Operating system", "Operating systems", "os"),
        Dimension("event", "Event", "Events", "name"),
    )
}
"""By key, as in the `by` of a history report."""


PROPERTY = "properties."


def dimension_of(key: str) -> Dimension | None:
    """The dimension with this key; `properties.NAME` is one for every name."""
    if key.startswith(PROPERTY) and len(key) > len(PROPERTY):
        name = key.removeprefix(PROPERTY)
        return Dimension(key, name, name, key, "Sent without it")
    return DIMENSIONS.get(key)


@dataclass(frozen=True, slots=True)
class Filter:
    """Only what has this value of a dimension; None: only what has none."""

    dimension: str
    value: str | None

    def __str__(self) -> str:
        """As it stands in the address. An empty value is "unknown": no dimension has an empty text."""
        dimension = self.dimension.replace("%", "%25").replace(":", "%3A")
        return f"{dimension}:{'' if self.value is None else self.value}"

    def condition(self) -> dict[str, Any]:
        dimension = dimension_of(self.dimension)
        field = dimension.field if dimension else self.dimension
        if self.value is None:
            return {"field": field, "op": "exists", "value": False}
        return {"field": field, "op": "eq", "value": self.value}


def parse(texts: Sequence[str]) -> tuple[Filter, ...]:
    """The filters of an address, each once, the latest of a dimension; what is none is left out."""
    found: dict[str, Filter] = {}
    for text in texts[:MAX_FILTERS]:
        quoted, colon, value = text.partition(":")
        dimension = quoted.replace("%3A", ":").replace("%25", "%")
        if colon and dimension_of(dimension):
            found[dimension] = Filter(dimension, value or None)
    return tuple(found.values())


def toggled(filters: Sequence[Filter], dimension: str, value: str | None) -> tuple[Filter, ...]:
    """The filters with this one added, in place of another value of its dimension; without it when it was there."""
    wanted = Filter(dimension, value)
    others = tuple(one for one in filters if one.dimension != dimension)
    return others if wanted in filters else (*others, wanted)


def condition(filters: Sequence[Filter]) -> dict[str, Any] | None:
    """All filters as one condition for a report; None when there is none."""
    return {"all": [one.condition() for one in filters]} if filters else None

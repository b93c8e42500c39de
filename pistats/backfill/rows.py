"""Lines of a file as columns: what every format gives, and the lines that are no event."""

from dataclasses import dataclass, field
from typing import Any, Literal

Format = Literal["ndjson", "clf", "combined"]
FORMATS: tuple[Format, ...] = ("ndjson", "clf", "combined")

CLIENT_FIELDS = (
    "event_id",
    "name",
    "visitor_id",
    "user_id",
    "url",
    "referrer",
    "title",
    "user_agent",
    "ip",
    "language",
    "screen",
)
"""Taken from the line as they are. `ip` is whole here: the visitor is made of it before it is truncated."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no event: its number in the file, from 1, and why."""

    number: int
    reason: str


@dataclass(slots=True)
class Rows:
    """The events of some lines, column by column; every list has one value for each event.

    `received_time` and `time` in Unix ms; `properties` is a JSON object as text; `section` the one that the properties
    give; `numbers` the lines' numbers in the file.
    """

    numbers: list[int] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    received_time: list[int] = field(default_factory=list)
    client: dict[str, list[str | None]] = field(default_factory=lambda: {name: [] for name in CLIENT_FIELDS})
    properties: list[str | None] = field(default_factory=list)
    section: list[str | None] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)

    def add(
        self,
        number: int,
        time: int,
        received_time: int,
        client: dict[str, Any],
        properties: str | None,
        section: str | None,
    ) -> None:
        """One event of whatever fields it has."""
        self.numbers.append(number)
        self.time.append(time)
        self.received_time.append(received_time)
        for name, values in self.client.items():
            values.append(client.get(name))
        self.properties.append(properties)
        self.section.append(section)

"""Where reading begins: the five positions, and an error of its own for each way to miss the log."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from pistats.errors import PositionError
from pistats.stream.log import StreamLog


class MalformedPositionError(PositionError):
    """The text is no position."""


class TrimmedPositionError(PositionError):
    """The records there are gone: a gap between what was read and what can be read."""

    def __init__(self, message: str, first_offset: int = 0) -> None:
        super().__init__(message, first_offset)
        self.first_offset = first_offset
        """The oldest record that is still there."""

    def __str__(self) -> str:
        return str(self.args[0])


class BeyondEndError(PositionError):
    """No record with that offset has been stored yet."""


class FutureTimeError(PositionError):
    """The time has not come yet."""


class PositionKind(StrEnum):
    """Kinesis' iterator types by the names that the command line uses."""

    TRIM_HORIZON = "trim-horizon"
    LATEST = "latest"
    AT_OFFSET = "offset"
    AFTER_OFFSET = "after"
    AT_TIMESTAMP = "time"


@dataclass(frozen=True, slots=True)
class Position:
    """`value` is an offset or Unix milliseconds, 0 where the kind needs none."""

    kind: PositionKind
    value: int = 0

    def __str__(self) -> str:
        if self.kind in (PositionKind.TRIM_HORIZON, PositionKind.LATEST):
            return self.kind.value
        if self.kind is PositionKind.AT_TIMESTAMP:
            return f"{self.kind.value}:{_iso(self.value)}"
        return f"{self.kind.value}:{self.value}"


def parse_position(text: str) -> Position:
    """Read `trim-horizon`, `latest`, `offset:N`, `after:N` or `time:ISO-8601-with-zone`.

    Raises MalformedPositionError.
    """
    kind, colon, value = text.strip().partition(":")
    if not colon and kind in (PositionKind.TRIM_HORIZON, PositionKind.LATEST):
        return Position(PositionKind(kind))
    if kind in (PositionKind.AT_OFFSET, PositionKind.AFTER_OFFSET) and value.isascii() and value.isdigit():
        return Position(PositionKind(kind), int(value))
    if kind == PositionKind.AT_TIMESTAMP and (time := _unix_ms(value)) is not None:
        return Position(PositionKind.AT_TIMESTAMP, time)
    raise MalformedPositionError(
        f"{text!r} is no position: write trim-horizon, latest, offset:N, after:N or time:2026-11-23T10:00:00Z "
        "(N from 0, the time with its zone)"
    )


def resolve_position(position: Position, log: StreamLog, now: int) -> int:
    """The offset to read from. Raises TrimmedPositionError, BeyondEndError or FutureTimeError, naming what is valid."""
    match position.kind:
        case PositionKind.TRIM_HORIZON:
            return log.first_offset
        case PositionKind.LATEST:
            return log.end_offset
        case PositionKind.AT_TIMESTAMP:
            if position.value > now:
                raise FutureTimeError(
                    f"{position} is in the future: times up to now, {_iso(now)}, are valid "
                    f"(offsets {log.first_offset} to {log.end_offset}); `latest` waits for what comes"
                )
            return log.offset_at_time(position.value)
        case PositionKind.AT_OFFSET:
            offset = position.value
        case PositionKind.AFTER_OFFSET:
            offset = position.value + 1
    check_offset(offset, log.first_offset, log.end_offset)
    return offset


def check_offset(offset: int, first_offset: int, end_offset: int) -> None:
    """Returns when reading may begin at `offset`. Raises TrimmedPositionError or BeyondEndError otherwise."""
    if offset < first_offset:
        raise TrimmedPositionError(
            f"offset {offset} has been trimmed: offsets {first_offset} to {end_offset} can be read, "
            f"{first_offset - offset} records are gone; go on at offset:{first_offset} (trim-horizon)",
            first_offset,
        )
    if offset > end_offset:
        raise BeyondEndError(
            f"offset {offset} is beyond the end: offsets {first_offset} to {end_offset} can be read, "
            f"{end_offset} being the next record (latest)"
        )


def _unix_ms(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if time.tzinfo is None else round(time.timestamp() * 1000)


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

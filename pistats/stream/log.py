"""What every log can do, whatever it stores to. One contract test suite runs over each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pistats.errors import UnavailableError
from pistats.stream.batch import Appended, Batch, Fetched


class LogStoppedError(UnavailableError):
    """This writer has met an error after which it knows nothing for certain: open the log again.

    What it was asked to append may be stored or not: the same batch id gives the right answer after the new start.
    """


@dataclass(frozen=True, slots=True)
class LogStats:
    """A log's state in numbers. Counts of duplicates go back to the start of the log, as of its last frame."""

    epoch: int
    first_offset: int
    end_offset: int
    duplicates: int
    """Records acknowledged without being stored again."""
    conflicting_duplicates: int
    """Of them, how many had another body than the stored record of the same id."""
    segments: int
    bytes_on_disk: int
    oldest_append_time: int | None
    last_append_time: int | None
    dedupe_ids: int
    dedupe_bytes: int
    indexes_rebuilt: int
    """Index files that were missing or not what was written, at the start of this writer."""
    refusing: str | None
    """Why nothing new would be stored now, as a full disk; None: an append would be."""
    cut_bytes: int
    """Bytes of a torn last frame that the start of this writer left behind."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What a trim did."""

    first_offset: int
    removed_segments: int
    removed_bytes: int
    held_back_segments: int
    """Segments past their retention that the floor kept: a consumer is that far behind."""


class StreamLog(Protocol):
    """An append-only log of one partition with one writer.

    `append` and `trim` are called by one caller at a time; `read`, `offset_at_time` and `stats` by any thread
    meanwhile.
    """

    @property
    def epoch(self) -> int:
        """This writer's epoch: higher than any writer's before it."""

    @property
    def first_offset(self) -> int:
        """Offset of the oldest record that can be read."""

    @property
    def end_offset(self) -> int:
        """The first offset that is not yet durable."""

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """Make the batches durable, one answer each. May be repeated with the same batch ids.

        Raises OverloadedError (nothing of these batches was stored that a repetition does not find), FencedError and
        LogStoppedError (this writer is done).
        """

    def look_up(self, batches: Sequence[Batch]) -> list[Appended]:
        """What is known of the batches, storing nothing: records not stored here are `moved`, the others as always.

        Called like `append`. Raises FencedError when a newer writer may know more; so none at all asks only that.
        """

    def read(self, offset: int, max_bytes: int) -> Fetched:
        """Durable frames from `offset` on, at least one when there is one. Raises PositionError outside the log."""

    def offset_at_time(self, append_time: int) -> int:
        """Offset of the first record appended at or after this time (Unix ms), the end when there is none."""

    def trim(self, floor_offset: int, *, force: bool = False) -> Trimmed:
        """Remove what retention by time and size lets go, never a record at or behind `floor_offset` unless forced."""

    def stats(self) -> LogStats:
        """The log's state in numbers."""

    def close(self) -> None:
        """Release what the log holds. What was acknowledged stays."""

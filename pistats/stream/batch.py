"""The values that cross the stream's border: what is appended, what is answered, what is fetched."""

from collections.abc import Sequence
from dataclasses import dataclass

BATCH_ID_BYTES = 16
"""A random 128-bit id: no two batches of a partition's life share one."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one caller appends: stored as a whole or not at all. A retry carries the same `batch_id`."""

    batch_id: bytes
    """16 random bytes, the same on every retry of this batch."""
    keys: list[bytes]
    """The dedupe key of each record: `site`, 0x1f, `event_id`."""
    payloads: list[bytes]
    """The bytes of each record, as many as `keys`."""
    layout: int = 0
    """Epoch of the topology by which the caller chose this partition. A partition sealed for a later one stores
    nothing of it."""

    def __post_init__(self) -> None:
        if len(self.batch_id) != BATCH_ID_BYTES:
            raise ValueError(f"a batch id has {BATCH_ID_BYTES} bytes, this one {len(self.batch_id)}")
        if len(self.keys) != len(self.payloads) or not self.keys:
            raise ValueError(
                f"a batch has one key per payload and at least one: {len(self.keys)}, {len(self.payloads)}"
            )

    @property
    def size_bytes(self) -> int:
        """Uncompressed bytes of keys and payloads."""
        return sum(map(len, self.keys)) + sum(map(len, self.payloads))


@dataclass(frozen=True, slots=True)
class Appended:
    """Every record of the batch but those in `moved` is durable when you hold this: stored now or before."""

    first_offset: int
    """Of the records that this batch stored, which are consecutive. The end of the log when all were duplicates."""
    duplicates: list[int]
    """Indexes into the batch whose key was stored before by another batch, or earlier in this one."""
    epoch: int
    moved: Sequence[int] = ()
    """Indexes of records that are not stored here: the batch's layout is over, a newer topology knows where to."""


@dataclass(frozen=True, slots=True)
class Record:
    """One stored record. Its offset is dense: the next record's is one more."""

    offset: int
    append_time: int
    key: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Fetched:
    """Durable frames as they are stored: decode them with `pistats.stream.frame`."""

    frames: list[bytes]
    """Whole frames. The first may begin before the offset that was asked for: skip the records below it."""
    next_offset: int
    """Where to fetch next."""
    end_offset: int
    """The first offset that is not yet durable."""
    oldest_append_time: int | None
    """Append time of the first record returned, None when nothing was."""
    layout: int = 0
    """No record in `frames` was stored by a later topology epoch than this."""

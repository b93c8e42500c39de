"""What the owner of a partition is asked to do beside its records, in its next commit. Empty: nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pistats.enrich import EnrichedEvent, Failure


class VisitorMerge(NamedTuple):
    """What a backfill knows of one visitor."""

    site: str
    visitor_id: str
    first_time: int  # Unix ms of the earliest event
    days: Sequence[int]  # on which it was active, since 1970-01-01, local to the site; at least one
    known_time: int = 0  # Unix ms: when the backfill looked for tombstones; it knows nothing of later ones


class Redone(NamedTuple):
    """A dead letter that was enriched again. A failure replaces the dead letter, an event takes its place."""

    offset: int
    append_minute: int
    payload: bytes
    outcome: EnrichedEvent | Failure
    moved_to: int | None = None  # the partition that the visitor lives in by now; None: still in this one
    received: bytes | None = None  # what came, where someone has mended the payload since


@dataclass(frozen=True, slots=True)
class Work:
    """In this order: visitors are erased, others merged, dead letters counted as what they have become."""

    erased: Sequence[tuple[str, str]] = ()  # (site, visitor id), of which there is a tombstone
    merged: Sequence[VisitorMerge] = ()
    redone: Sequence[Redone] = ()


NO_WORK = Work()

"""Finds the event that ends the process, and lets the others be counted: after three tries it is a dead letter.

1. Records are consumed as always, and the process ends: by a crash, by the kernel, or by the watchdog of a step that
   doesn't end. Whoever takes the lease next finds that its owner neither gave it back nor committed.
2. The records that it can have had in hand are consumed in small slices, each noted in the partition's document
   (`suspect`) before it is touched, and struck out when it did no harm.
3. The slice that was noted when the process ended again is consumed event by event.

The event that was noted alone when the process ended once more goes to the dead letters without being touched again.

Nothing is noted before a first death, so that the normal path costs nothing. A death outside of what is noted, by an
operator's kill for example, condemns nobody. One process works on one range at a time (`Danger.alone`), so that a
partition's poison is not put down to another one's events.
"""

import asyncio
import contextlib
import faulthandler
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from pistats.enrich import Failure, Reason

SLICE_EVENTS = 100
"""Of the second try: a range of 5,000 is done in fifty commits, a second's work."""
LAST_WORDS_CHARS = 800
"""Of the traceback that the watchdog leaves: the innermost calls come first."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Which records are to be consumed with what care. Offsets; each bound is exclusive."""

    careful_until: int = 0
    single_until: int = 0
    condemned: int | None = None
    """The event that ended the process three times."""

    def slice_events(self, offset: int) -> int | None:
        """How many records from `offset` on may be in one slice; None: as many as always, unnoted."""
        if offset < self.single_until or offset == self.condemned:
            return 1
        return min(SLICE_EVENTS, self.careful_until - offset) if offset < self.careful_until else None

    def joined(self, other: "Suspicion") -> "Suspicion":
        """What either gives cause for."""
        return Suspicion(
            max(self.careful_until, other.careful_until),
            max(self.single_until, other.single_until),
            other.condemned if self.condemned is None else self.condemned,
        )

    def within(self, end_offset: int) -> "Suspicion":
        """Without what was not stored yet when the process ended: that cannot have ended it."""
        return replace(self, careful_until=min(self.careful_until, end_offset))

    def note(self, offset: int, count: int) -> dict[str, Any]:
        """Fields of the partition's document that say: these records are about to be touched."""
        suspect = {"from_offset": offset, "to_offset": offset + count}
        return {"suspect": suspect, "careful_until": self.careful_until, "single_until": self.single_until}


NO_SUSPICION = Suspicion()
HARMLESS: dict[str, Any] = {"suspect": None}
"""Fields that strike out what was noted."""


def suspicion_of(document: Mapping[str, Any], *, died: bool, range_events: int) -> Suspicion:
    """What a partition's document gives cause for. `died`: its last owner is gone without a word.

    `range_events`: the most that it can have had in hand.
    """
    offset = document["offset"] or 0
    careful_until, single_until = document.get("careful_until") or 0, document.get("single_until") or 0
    if not died:
        return Suspicion(careful_until, single_until)
    careful_until = max(careful_until, offset + range_events)
    suspect = document.get("suspect")
    if suspect is None or suspect["from_offset"] != offset:
        return Suspicion(careful_until, single_until)
    alone = suspect["to_offset"] - suspect["from_offset"] == 1
    return Suspicion(careful_until, max(single_until, suspect["to_offset"]), offset if alone else None)


class Danger:
    """What the partitions of one process share: who is at work, for how long, and how the last life ended."""

    def __init__(self, timeout_s: float | None = None, last_words: Path | None = None) -> None:
        """Without `timeout_s` nothing is watched. `last_words`: a file that outlives the process.

        The process ends when a step takes longer, even one in C that lets no other thread run.
        """
        self._timeout_s = timeout_s
        self._file: IO[str] | None = None
        self._lock = asyncio.Lock()
        self.last_words = ""
        """Where the last life of this process was when it was ended for taking too long; empty: it wasn't."""
        if last_words is not None:
            last_words.parent.mkdir(parents=True, exist_ok=True)
            if last_words.exists():
                self.last_words = last_words.read_text(errors="replace")[:LAST_WORDS_CHARS]
            self._file = last_words.open("w")

    @property
    def alone(self) -> asyncio.Lock:
        """Held by the one that works on events."""
        return self._lock

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """End the process when the block, which must not wait for anything, takes longer than allowed."""
        if self._timeout_s is None:
            yield
            return
        more: dict[str, Any] = {} if self._file is None else {"file": self._file}
        faulthandler.dump_traceback_later(self._timeout_s, exit=True, **more)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def verdict(self) -> Failure:
        """What the dead letter of a condemned event says."""
        if self.last_words:
            return Failure("consume", Reason.TOOK_TOO_LONG, self.last_words)
        return Failure("consume", Reason.PROCESS_DIED, "The consumer's process ended three times on this event.")

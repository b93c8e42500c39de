"""Finds the event that ends the process, and lets the others be counted: after three tries it is a dead letter.

1. Records are consumed as always, and the process ends: by a crash, by the kernel, or by the watchdog of a step that
   doesn't end. Whoever takes the lease next finds that its owner neither gave it back nor committed.
2. The records that it can have had in hand are consumed in small slices, each noted in the partition's document
   (`suspect`) before it is touched, and struck out when it did no harm.
3. The slice that was noted when the process ended again is consumed event by event.

The event that was noted alone when the process ended once more goes to the dead letters without being touched again.
So does one whose commit, of it alone, raises what no other try can change, such as for a text that is no Unicode.

Nothing is noted before a first death, so that the normal path costs nothing. A death outside of what is noted, by an
operator's kill for example, condemns nobody. Nor does a lease that ran out: a process that got no processor for so long
lives. An event is condemned when a process that had it alone has ended for sure, because there is a later one under
its name. One process works on one range at a time (`Danger.alone`), so that a partition's poison is not put down to
another one's events.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from pistats.consumer.watchdog import Watchdog, of_the_step
from pistats.enrich import Failure, Reason

SLICE_EVENTS = 100
"""Of the second try: a range of 5,000 is done in fifty commits, a second's work."""
LAST_WORDS_CHARS = 800
"""Of the traceback that the watchdog leaves: the innermost calls come first."""


Life = tuple[str, str]
"""A consumer's name, and one of its processes: see `Danger.life`."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Which records are to be consumed with what care. Offsets; each bound is exclusive."""

    careful_until: int = 0
    single_until: int = 0
    condemned: int | None = None
    """The event that ended the process three times, or cannot be committed."""
    failure: Failure | None = None
    """Why it cannot; None: by the end of the process."""
    alone: int | None = None
    """The event that some had in hand, alone, when their leases ran out: perhaps they live."""
    lives: tuple[Life, ...] = ()
    """Theirs."""

    def slice_events(self, offset: int) -> int | None:
        """How many records from `offset` on may be in one slice; None: as many as always, unnoted."""
        if offset < self.single_until or offset == self.condemned:
            return 1
        return min(SLICE_EVENTS, self.careful_until - offset) if offset < self.careful_until else None

    def giving_up(self, offset: int, failure: Failure) -> "Suspicion":
        """With this event condemned."""
        return replace(self, condemned=offset, failure=failure)

    def joined(self, earlier: "Suspicion") -> "Suspicion":
        """What either gives cause for."""
        joined = replace(
            self,
            careful_until=max(self.careful_until, earlier.careful_until),
            single_until=max(self.single_until, earlier.single_until),
        )
        if self.condemned is not None or earlier.condemned is None:
            return joined
        return replace(joined, condemned=earlier.condemned, failure=earlier.failure)

    def within(self, end_offset: int) -> "Suspicion":
        """Without what was not stored yet when the process ended: that cannot have ended it."""
        return replace(self, careful_until=min(self.careful_until, end_offset))

    def note(self, offset: int, count: int, life: Life) -> dict[str, Any]:
        """Fields of the partition's document that say: these records are about to be touched by `life`."""
        before = self.lives if count == 1 and offset == self.alone else ()
        lives = [list(one) for one in (*before, life)]
        suspect = {"from_offset": offset, "to_offset": offset + count, "lives": {"$literal": lives}}
        return {"suspect": suspect, "careful_until": self.careful_until, "single_until": self.single_until}


NO_SUSPICION = Suspicion()
HARMLESS: dict[str, Any] = {"suspect": None}
"""Fields that strike out what was noted."""


def suspicion_of(
    document: Mapping[str, Any], *, died: bool, range_events: int, ended: Callable[[Life], bool]
) -> Suspicion:
    """What a partition's document gives cause for. `died`: its last owner is gone without a word, as far as is known.

    `range_events`: the most that it can have had in hand. `ended`: whether a process is gone for sure.
    """
    offset = document["offset"] or 0
    careful_until, single_until = document.get("careful_until") or 0, document.get("single_until") or 0
    if not died:
        return Suspicion(careful_until, single_until)
    careful_until = max(careful_until, offset + range_events)
    suspect = document.get("suspect")
    if suspect is None or suspect["from_offset"] != offset:
        return Suspicion(careful_until, single_until)
    single_until = max(single_until, suspect["to_offset"])
    if suspect["to_offset"] - suspect["from_offset"] > 1:
        return Suspicion(careful_until, single_until)
    lives = tuple((name, life) for name, life in suspect.get("lives", ()))
    condemned = offset if any(map(ended, lives)) else None
    return Suspicion(careful_until, single_until, condemned, alone=offset, lives=lives)


class Danger:
    """What the partitions of one process share: who is at work, for how long, and how the last life ended."""

    def __init__(self, timeout_s: float | None = None, last_words: Path | None = None) -> None:
        """Without `timeout_s` nothing is watched: see `Watchdog`. `last_words`: a file that outlives the process."""
        self.life = uuid.uuid4().hex
        """Of this process: another one under the same name is proof that this one has ended."""
        self._lock = asyncio.Lock()
        file: IO[str] | None = None
        self.last_words = ""
        """Where the last life of this process was when it was ended for taking too long; empty: it wasn't."""
        if last_words is not None:
            last_words.parent.mkdir(parents=True, exist_ok=True)
            if last_words.exists():
                self.last_words = of_the_step(last_words.read_text(errors="replace"))[:LAST_WORDS_CHARS]
            file = last_words.open("w")
        self._watchdog = None if timeout_s is None else Watchdog(timeout_s, file)

    @property
    def alone(self) -> asyncio.Lock:
        """Held by the one that works on events."""
        return self._lock

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """End the process when the block, which must not wait for anything, doesn't end."""
        if self._watchdog is None:
            yield
            return
        self._watchdog.begin()
        try:
            yield
        finally:
            self._watchdog.end()

    def verdict(self) -> Failure:
        """What the dead letter of a condemned event says."""
        if self.last_words:
            return Failure("consume", Reason.TOOK_TOO_LONG, self.last_words)
        return Failure("consume", Reason.PROCESS_DIED, "The consumer's process ended three times on this event.")

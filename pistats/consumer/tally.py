"""What became of records, counted per append minute: the rows of the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pistats.consumer.reader import MINUTE_MS, RecordRange
from pistats.enrich import EnrichedEvent, Failure

OUTCOMES = ("enriched", "bots", "dead_lettered", "erased")
"""What a record can become. The checkpoint counts each in all, the ledger per minute."""


class Erased(Enum):
    """What becomes of an event whose visitor was erased after it had come: nothing, and it is counted."""

    ERASED = "erased"


Outcome = EnrichedEvent | Failure | Erased


@dataclass(slots=True)
class Tally:
    """How many records became what, and which records those are. Each has exactly one of the four outcomes."""

    enriched: int = 0
    bots: int = 0
    dead_lettered: int = 0
    erased: int = 0
    """Of visitors that were erased after the event had come: dropped."""
    duplicates: int = 0
    """Acknowledged by the partition without being stored, together with these records: no records themselves."""
    first_offset: int | None = None
    end_offset: int | None = None
    """None when this only corrects what was counted before."""

    @property
    def consumed(self) -> int:
        return self.enriched + self.bots + self.dead_lettered + self.erased

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count these outcomes."""
        for outcome in outcomes:
            if isinstance(outcome, dict):
                if outcome["is_bot"]:
                    self.bots += 1
                else:
                    self.enriched += 1
            elif isinstance(outcome, Failure):
                self.dead_lettered += 1
            else:
                self.erased += 1

    def correct(self, outcome: Outcome) -> None:
        """Count a record, which was a dead letter, as this instead."""
        self.dead_lettered -= 1
        self.add([outcome])


def ledger_of(records: RecordRange, outcomes: Sequence[Outcome], duplicates: int | None) -> dict[int, Tally]:
    """Every record of the range once, by its append minute (Unix ms); `outcomes[i]` is that of record i.

    `duplicates`: how many the partition had acknowledged without storing before this range; None: not known, then
    those that came with the first frame are counted nowhere.
    """
    ledger: dict[int, Tally] = {}
    start = 0
    for part in records.parts:
        tally = ledger.setdefault(part.append_time - part.append_time % MINUTE_MS, Tally())
        end = start + part.records
        tally.add(outcomes[start:end])
        if tally.first_offset is None:
            tally.first_offset = records.first_offset + start
        tally.end_offset = records.first_offset + end
        tally.duplicates += 0 if duplicates is None else part.duplicates - duplicates
        duplicates = part.duplicates
        start = end
    return ledger


def totals(ledger: Mapping[int, Tally]) -> dict[str, int]:
    """All minutes together, by outcome."""
    return {outcome: sum(getattr(tally, outcome) for tally in ledger.values()) for outcome in OUTCOMES}


def update_of(tally: Tally) -> dict[str, Any]:
    """The update that adds a tally to its minute's document."""
    counts = {outcome: getattr(tally, outcome) for outcome in OUTCOMES}
    update: dict[str, Any] = {"$inc": {"consumed": tally.consumed, **counts, "duplicates": tally.duplicates}}
    if tally.first_offset is not None:
        update["$min"] = {"first_offset": tally.first_offset}
        update["$max"] = {"end_offset": tally.end_offset}
    return update

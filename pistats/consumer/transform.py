"""Enriches ranges of records. One outcome per record: an enriched event, or why there is none."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pistats.consumer.poison import Danger
from pistats.consumer.reader import RecordRange
from pistats.enrich import EnrichContext, EnrichedEvent, Failure, Reason, enrich_batch
from pistats.enrich.steps import Timed

Outcome = EnrichedEvent | Failure
Enrich = Callable[[Sequence[bytes], int, Sequence[int]], list[Outcome]]
"""(payloads, partition, their offsets) -> one outcome each."""

CHUNK_EVENTS = 500
"""Enriched without a pause, 10 to 50 ms: between chunks the other partitions, leases and beats get their turn."""


@dataclass(frozen=True, slots=True)
class Transformed:
    """Records and, at the same index, their outcomes."""

    records: RecordRange
    outcomes: list[Outcome]


class Transform:
    """Enrichment that nothing gets past: an event that makes it raise is a failure, its neighbours are not."""

    def __init__(
        self,
        enrich: Enrich | None = None,
        *,
        geoip_db: Path | None = None,
        danger: Danger | None = None,
        timed: Timed | None = None,
    ) -> None:
        """Without `enrich`, our own steps over the standard data, which take half a second to load.

        `timed` is told how long each step takes.
        """
        if enrich is None:
            enrich = partial(enrich_batch, context=EnrichContext.standard(geoip_db), timed=timed)
        self._enrich = enrich
        self.danger = danger or Danger()
        """Of this process: who has events in hand, and for how long at most."""

    async def apply(self, partition: int, records: RecordRange) -> Transformed:
        """Enrich a range. Never raises for what an event contains. May be repeated: it stores nothing."""
        outcomes: list[Outcome] = []
        for start in range(0, len(records.payloads), CHUNK_EVENTS):
            payloads = records.payloads[start : start + CHUNK_EVENTS]
            first = records.first_offset + start
            outcomes += self._chunk(payloads, partition, range(first, first + len(payloads)))
            await asyncio.sleep(0)
        return Transformed(records, outcomes)

    def _chunk(self, payloads: Sequence[bytes], partition: int, offsets: Sequence[int]) -> list[Outcome]:
        try:
            with self.danger.watched():
                return self._enrich(payloads, partition, offsets)
        except Exception:
            return [self.one(payload, partition, offset) for payload, offset in zip(payloads, offsets, strict=True)]

    def one(self, payload: bytes, partition: int, offset: int) -> Outcome:
        """Enrich a single event. Never raises for what it contains."""
        try:
            with self.danger.watched():
                return self._enrich([payload], partition, [offset])[0]
        except Exception as error:
            return failure_of("enrich", error)


def failure_of(stage: str, error: Exception) -> Failure:
    """What a dead letter says about an event that made `stage` raise."""
    return Failure(stage, Reason.STEP_FAILED, f"{type(error).__name__}: {error}")

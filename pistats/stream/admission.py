"""Decides what of a group of batches is new: each key is stored once, a retried batch gets the same answer again."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

from pistats.stream.batch import Appended, Batch
from pistats.stream.dedupe import DedupeIndex
from pistats.stream.frame import Columns, FrameTotals

BATCH_MEMORY_MS = 120_000
"""How long a batch id is remembered: callers retry for 30 s, four times that outlasts a slow restart.

After it a retry's records are recognised by their keys and answered as duplicates: as safe, less exact."""

_CLIENT_FIELDS = b'"event_id":'
"""Server fields come before it in a stored event; they differ between two receipts of one event."""

RecordAt = Callable[[int], tuple[bytes, bytes] | None]
"""Offset → (key, payload) of a stored record, None when it has been trimmed."""


@dataclass(frozen=True, slots=True)
class _StoredBatch:
    first_offset: int
    records: int
    append_time: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """What one frame will hold, and what to answer once it is durable. Empty when nothing is new."""

    keys: list[bytes]
    payloads: list[bytes]
    hashes: list[int]
    values: npt.NDArray[np.uint64]
    """The same numbers as `hashes`."""
    batches: list[tuple[bytes, int]]
    """(batch id, records stored) in record order; 0 when all of a batch were duplicates."""
    answers: list[Appended]
    """One for each batch of the group, in its order."""
    totals: FrameTotals
    first_offset: int


class Admission:
    """The memory of one partition's writer: key hashes, batch ids, counts. Not thread-safe."""

    def __init__(self, dedupe: DedupeIndex, record_at: RecordAt, epoch: int) -> None:
        self._dedupe = dedupe
        self.totals = FrameTotals()
        self._record_at = record_at
        self._epoch = epoch
        self._stored: dict[bytes, _StoredBatch] = {}

    def admit(self, batches: Sequence[Batch], end_offset: int) -> Admitted:
        """Find what is new in the group. Changes nothing: `commit` does, when the frame is durable."""
        fresh = list({batch.batch_id: batch for batch in batches if batch.batch_id not in self._stored}.values())
        selection = _Selection(self, fresh, end_offset)
        answered = selection.answers
        for batch in batches:
            if batch.batch_id not in answered:
                answered[batch.batch_id] = self._answer_again(batch)
        return selection.admitted([answered[batch.batch_id] for batch in batches])

    def look_up(self, batches: Sequence[Batch], end_offset: int) -> list[Appended]:
        """What is stored of the batches, and what is not (`moved`). Counts the duplicates and changes nothing else."""
        return [
            self._answer_again(batch) if batch.batch_id in self._stored else self._known_of(batch, end_offset)
            for batch in batches
        ]

    def _known_of(self, batch: Batch, end_offset: int) -> Appended:
        """A key that comes twice in the batch and was never stored is moved twice: nothing of it is durable."""
        hashes = list(map(xxhash.xxh3_64_intdigest, batch.keys))
        found = self._dedupe.find(hashes, np.array(hashes, dtype=np.uint64))
        duplicates, conflicts = [], 0
        for index in sorted(found):
            stored = self.duplicate_of(batch.keys[index], found[index])
            if stored is not None:
                duplicates.append(index)
                conflicts += not same_body(stored, batch.payloads[index])
        self.totals = FrameTotals(self.totals.duplicates + len(duplicates), self.totals.conflicts + conflicts)
        known = set(duplicates)
        moved = [index for index in range(len(batch.keys)) if index not in known]
        return Appended(end_offset, duplicates, self._epoch, moved)

    def commit(self, admitted: Admitted, append_time: int) -> None:
        """Take in a frame that is durable (or a group in which nothing was new)."""
        self._dedupe.add(admitted.hashes, admitted.first_offset, append_time)
        self.totals = admitted.totals
        self.remember(admitted.batches, admitted.first_offset, append_time)

    def remember(self, batches: Iterable[tuple[bytes, int]], first_offset: int, append_time: int) -> None:
        """Recognise these batch ids from now on, and forget the ones whose time is over."""
        for batch_id, records in batches:
            self._stored[batch_id] = _StoredBatch(first_offset, records, append_time)
            first_offset += records
        over = []
        for batch_id, stored in self._stored.items():  # in append order, so this stops at the first young one
            if stored.append_time >= append_time - BATCH_MEMORY_MS:
                break
            over.append(batch_id)
        for batch_id in over:
            del self._stored[batch_id]

    def duplicate_of(self, key: bytes, offsets: Iterable[int]) -> bytes | None:
        """The stored payload of this key among the records at `offsets`, None when none of them has it."""
        for offset in offsets:
            stored = self._record_at(offset)
            if stored is not None and stored[0] == key:
                return stored[1]
        return None

    def _answer_again(self, batch: Batch) -> Appended:
        """The answer that a stored batch got the first time."""
        stored = self._stored[batch.batch_id]
        own = range(stored.first_offset, stored.first_offset + stored.records)
        if len(own) == len(batch.keys):
            return Appended(stored.first_offset, [], self._epoch)
        kept = {record[0] for offset in own if (record := self._record_at(offset)) is not None}
        duplicates = []
        for index, key in enumerate(batch.keys):
            if key in kept:
                kept.remove(key)
            else:
                duplicates.append(index)
        return Appended(stored.first_offset, duplicates, self._epoch)


class _Selection:
    """The new records of some batches that have not been seen before."""

    def __init__(self, admission: Admission, batches: list[Batch], end_offset: int) -> None:
        self._admission = admission
        self._first_offset = end_offset
        self._duplicates = self._conflicts = 0
        self.answers: dict[bytes, Appended] = {}
        self._batches: list[tuple[bytes, int]] = []
        self._keys = [key for batch in batches for key in batch.keys]
        self._payloads = [payload for batch in batches for payload in batch.payloads]
        self._hashes = list(map(xxhash.xxh3_64_intdigest, self._keys))
        self._values = np.array(self._hashes, dtype=np.uint64)
        found = admission._dedupe.find(self._hashes, self._values)
        if found or len(set(self._hashes)) < len(self._hashes):
            self._select(batches, found)
        else:
            self._take_all(batches)

    def admitted(self, answers: list[Appended]) -> Admitted:
        before = self._admission.totals
        totals = FrameTotals(before.duplicates + self._duplicates, before.conflicts + self._conflicts)
        return Admitted(
            self._keys, self._payloads, self._hashes, self._values, self._batches, answers, totals, self._first_offset
        )

    def _take_all(self, batches: list[Batch]) -> None:
        offset = self._first_offset
        for batch in batches:
            self._answer(batch, offset, [])
            offset += len(batch.keys)

    def _select(self, batches: list[Batch], found: dict[int, list[int]]) -> None:
        """The slow way, record by record, for a group that holds a known hash or one hash twice."""
        fresh: dict[bytes, bytes] = {}
        kept: list[int] = []
        start = 0
        for batch in batches:
            offset, duplicates = self._first_offset + len(kept), []
            for index, (key, payload) in enumerate(zip(batch.keys, batch.payloads, strict=True)):
                stored = fresh.get(key)
                if stored is None and start + index in found:
                    stored = self._admission.duplicate_of(key, found[start + index])
                if stored is None:
                    fresh[key] = payload
                    kept.append(start + index)
                else:
                    duplicates.append(index)
                    self._conflicts += not same_body(stored, payload)
            self._duplicates += len(duplicates)
            self._answer(batch, offset, duplicates)
            start += len(batch.keys)
        self._keep(kept)

    def _keep(self, indexes: list[int]) -> None:
        self._keys = [self._keys[index] for index in indexes]
        self._payloads = [self._payloads[index] for index in indexes]
        self._hashes = [self._hashes[index] for index in indexes]
        self._values = self._values[indexes]

    def _answer(self, batch: Batch, offset: int, duplicates: list[int]) -> None:
        self.answers[batch.batch_id] = Appended(offset, duplicates, self._admission._epoch)
        self._batches.append((batch.batch_id, len(batch.keys) - len(duplicates)))


def same_body(stored: bytes, received: bytes) -> bool:
    """Whether two payloads of one event say the same, whenever and wherever each was received."""
    return stored == received or _client_part(stored) == _client_part(received)


def _client_part(payload: bytes) -> bytes:
    _, found, rest = payload.partition(_CLIENT_FIELDS)
    return rest if found else payload


class StoredRecords:
    """Looks up single stored records, keeping the frames last decoded: a retried request hits the same ones."""

    KEPT_FRAMES = 32
    """At most about 32 times a frame's uncompressed size, 4 MB: duplicates come in runs from few frames."""

    def __init__(self, columns_at: Callable[[int], Columns | None]) -> None:
        self._columns_at = columns_at
        self._kept: list[Columns] = []

    def at(self, offset: int) -> tuple[bytes, bytes] | None:
        """(key, payload) of the record, None when it has been trimmed."""
        for columns in reversed(self._kept):
            if 0 <= (place := offset - columns.first_offset) < len(columns.keys):
                return columns.keys[place], columns.payloads[place]
        found = self._columns_at(offset)
        if found is None:
            return None
        self._kept = [*self._kept[1 - self.KEPT_FRAMES :], found]
        place = offset - found.first_offset
        return found.keys[place], found.payloads[place]

"""The dedupe window: which offsets may hold a key, in 14 bytes of memory per id.

Recent ids are in a dict; older ones in runs of a sorted 64-bit hash array, a 32-bit offset array and a Bloom filter of
16 bits an id. Adjacent runs of like size are merged, so a lookup asks few of them, and searches hardly any. A hash that
is found is only a candidate: the caller compares the stored key, so a collision of hashes never hides an event.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.uint32]

_32 = np.uint64(32)
RECENT_IDS = 65_536
"""Ids in the dict (about 130 bytes each, 9 MB) before they become a run: sorting them stalls the writer for 5 ms."""
LARGEST_RUN_IDS = 1_048_576
"""Merging two halves of it takes 12 ms; ten million ids are then at most about 15 runs."""
SPANS_PER_WINDOW = 12
"""A run covers at most this part of the window, so an id is remembered for the window plus a twelfth at most."""


@dataclass(frozen=True, slots=True)
class _Run:
    hashes: Hashes
    """Sorted."""
    places: Places
    """Offset of each hash's record minus `first_offset`."""
    filter: Hashes
    """Three bits of one 64-bit word for each hash: says "no" to 99 % of the others at one memory access."""
    first_offset: int
    end_offset: int
    oldest: int
    newest: int

    @classmethod
    def of(cls, hashes: Hashes, places: Places, first_offset: int, end_offset: int, oldest: int, newest: int) -> "_Run":
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        return cls(ordered, places[order], _filter_of(ordered), first_offset, end_offset, oldest, newest)

    def candidates(self, probe: "_Probe") -> list[int]:
        """Indexes of the probed hashes that are in this run."""
        words = self.filter[_word_of(probe.high, len(self.filter))]
        maybe = np.flatnonzero(words & probe.bits == probe.bits)
        if not len(maybe):
            return []
        values = probe.values[maybe]
        places = self.hashes.searchsorted(values)
        places[places == len(self.hashes)] = 0
        found: list[int] = maybe[self.hashes[places] == values].tolist()
        return found

    def offsets_of(self, value: int) -> list[int]:
        key = np.uint64(value)
        start, end = self.hashes.searchsorted(key), self.hashes.searchsorted(key, side="right")
        return [self.first_offset + place for place in self.places[start:end].tolist()]


@dataclass(frozen=True, slots=True)
class _Probe:
    """Hashes that are looked for, with what every run's filter needs of them."""

    values: Hashes
    high: Hashes
    bits: Hashes

    @classmethod
    def of(cls, values: Hashes) -> "_Probe":
        return cls(values, values >> _32, _bits_of(values))


class DedupeIndex:
    """Maps key hashes to offsets for `window_ms`, for at most about `max_ids` ids. Not thread-safe."""

    def __init__(self, window_ms: int, max_ids: int) -> None:
        self._window_ms = window_ms
        self._max_ids = max_ids
        self._largest_run = min(LARGEST_RUN_IDS, max(1, max_ids // SPANS_PER_WINDOW))
        self._runs: list[_Run] = []
        self._recent: dict[int, int] = {}
        self._collided: dict[int, list[int]] = {}
        """Further offsets of a hash in `_recent`: two keys with one hash."""
        self._collisions = 0
        self._recent_first = 0
        self._recent_oldest = self._recent_newest = 0

    def __len__(self) -> int:
        return len(self._recent) + self._collisions + sum(len(run.hashes) for run in self._runs)

    @property
    def memory_bytes(self) -> int:
        """What the runs hold, and an estimate of the dict."""
        return sum(run.hashes.nbytes + run.places.nbytes + run.filter.nbytes for run in self._runs) + 130 * len(
            self._recent
        )

    def find(self, hashes: list[int], values: Hashes) -> dict[int, list[int]]:
        """Index into `hashes` → offsets of stored records with that hash, newest last; empty when all are new.

        `hashes` and `values` are the same numbers, as a list and as an array.
        """
        found: dict[int, list[int]] = {}
        probe = _Probe.of(values)
        for run in self._runs:
            for index in run.candidates(probe):
                found.setdefault(index, []).extend(run.offsets_of(hashes[index]))
        if not self._recent.keys().isdisjoint(hashes):
            for index, value in enumerate(hashes):
                if value in self._recent:
                    found.setdefault(index, []).extend((*self._collided.get(value, ()), self._recent[value]))
        return found

    def add(self, hashes: list[int], first_offset: int, append_time: int) -> None:
        """Remember one frame: the hashes of its records from `first_offset` on. In offset order."""
        if not hashes:
            return
        if self._recent and self._recent_is_full(append_time):
            self._seal()
        if not self._recent:
            self._recent_first, self._recent_oldest = first_offset, append_time
        if not self._recent.keys().isdisjoint(hashes) or len(set(hashes)) < len(hashes):
            self._keep_collided(hashes, first_offset)
        self._recent.update(zip(hashes, range(first_offset, first_offset + len(hashes)), strict=True))
        self._recent_newest = append_time

    def load(self, hashes: Hashes, first_offset: int, oldest: int, newest: int) -> None:
        """Remember a whole segment at once: at a start, before the first `add`, in offset order."""
        for start in range(0, len(hashes), self._largest_run):
            part = hashes[start : start + self._largest_run]
            self._push(part, np.arange(len(part), dtype=np.uint32), first_offset + start, oldest, newest)

    def forget(self, now: int, first_offset: int) -> None:
        """Drop what has left the window, what has been trimmed, and the oldest of what is too much."""
        if self._recent and self._recent_is_full(now):
            self._seal()
        horizon = now - self._window_ms
        kept = [run for run in self._runs if run.newest >= horizon and run.end_offset > first_offset]
        excess = len(self._recent) + self._collisions + sum(len(run.hashes) for run in kept) - self._max_ids
        while kept and excess > 0:
            excess -= len(kept.pop(0).hashes)
        self._runs = kept

    def _recent_is_full(self, now: int) -> bool:
        return (
            len(self._recent) + self._collisions >= RECENT_IDS
            or now - self._recent_oldest > self._window_ms // SPANS_PER_WINDOW
        )

    def _keep_collided(self, hashes: list[int], first_offset: int) -> None:
        seen = dict(self._recent)
        for offset, value in enumerate(hashes, first_offset):
            if value in seen:
                self._collided.setdefault(value, []).append(seen[value])
                self._collisions += 1
            seen[value] = offset

    def _seal(self) -> None:
        """Turn the dict into a run."""
        extra = [(value, offset) for value, offsets in self._collided.items() for offset in offsets]
        pairs = [*self._recent.items(), *extra]
        hashes = np.fromiter((pair[0] for pair in pairs), dtype=np.uint64, count=len(pairs))
        offsets = np.fromiter((pair[1] for pair in pairs), dtype=np.int64, count=len(pairs))
        places = (offsets - self._recent_first).astype(np.uint32)
        self._push(hashes, places, self._recent_first, self._recent_oldest, self._recent_newest)
        self._recent, self._collided, self._collisions = {}, {}, 0

    def _push(self, hashes: Hashes, places: Places, first_offset: int, oldest: int, newest: int) -> None:
        end_offset = first_offset + len(hashes)
        self._runs.append(_Run.of(hashes, places, first_offset, end_offset, oldest, newest))
        while len(self._runs) >= 2 and self._may_merge(self._runs[-2], self._runs[-1]):
            newer, older = self._runs.pop(), self._runs.pop()
            self._runs.append(_merge(older, newer))

    def _may_merge(self, older: _Run, newer: _Run) -> bool:
        together = len(older.hashes) + len(newer.hashes)
        return (
            len(older.hashes) < 2 * len(newer.hashes)
            and together <= self._largest_run
            and newer.newest - older.oldest <= self._window_ms // SPANS_PER_WINDOW
        )


def _merge(older: _Run, newer: _Run) -> _Run:
    """Both runs as one. The stable sort finds the two sorted halves and merges them in linear time."""
    hashes = np.concatenate((older.hashes, newer.hashes))
    shift = np.uint32(newer.first_offset - older.first_offset)
    places = np.concatenate((older.places, newer.places + shift))
    return _Run.of(hashes, places, older.first_offset, newer.end_offset, older.oldest, newer.newest)


def _word_of(high: Hashes, words: int) -> Hashes:
    """Which word of a filter: the upper half of the hash, scaled. Sorted hashes give sorted words."""
    return (high * np.uint64(words)) >> _32


def _bits_of(hashes: Hashes) -> Hashes:
    """Three bits of that word, from the lower half of the hash."""
    one, six, six_bits = np.uint64(1), np.uint64(6), np.uint64(63)
    bits: Hashes = one << (hashes & six_bits)
    bits |= one << ((hashes >> six) & six_bits)
    bits |= one << ((hashes >> np.uint64(12)) & six_bits)
    return bits


def _filter_of(ordered: Hashes) -> Hashes:
    """The filter of a run's sorted hashes: four ids a word."""
    built = np.zeros(len(ordered) // 4 + 1, dtype=np.uint64)
    words = _word_of(ordered >> _32, len(built))
    starts = np.flatnonzero(np.diff(words, prepend=np.uint64(2**64 - 1)))
    if len(starts):
        built[words[starts]] = np.bitwise_or.reduceat(_bits_of(ordered), starts)
    return built

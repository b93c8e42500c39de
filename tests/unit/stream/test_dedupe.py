"""The dedupe window against a plain dict, over merges, collisions and the passing of time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pistats.stream import dedupe
from pistats.stream.dedupe import DedupeIndex

HOUR = 3_600_000
frames = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=12), min_size=1, max_size=60)


def find(index: DedupeIndex, *hashes: int) -> dict[int, list[int]]:
    return index.find(list(hashes), np.array(hashes, dtype=np.uint64))


@given(frames)
def test_finds_every_offset_of_every_hash(frames: list[list[int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedupe, "RECENT_IDS", 16)  # many runs, many merges
        patch.setattr(dedupe, "LARGEST_RUN_IDS", 128)
        index = DedupeIndex(24 * HOUR, 10_000)
        model: dict[int, list[int]] = {}
        offset = 0
        for time, hashes in enumerate(frames):
            index.add(hashes, offset, time)
            for place, value in enumerate(hashes):
                model.setdefault(value, []).append(offset + place)
            offset += len(hashes)
        assert {value: sorted(found) for value, found in find(index, *range(50)).items()} == model
        assert len(index) == offset


def test_loaded_segments_are_found_like_added_ones() -> None:
    index = DedupeIndex(24 * HOUR, 10_000_000)
    random = np.random.default_rng(1)
    values = random.integers(0, 2**64 - 1, 5_000, dtype=np.uint64)
    index.load(values[:2_000], 100, 1, 1)
    index.load(values[2_000:], 2_100, 2, 2)
    index.add([2**64 - 1], 5_100, 3)
    assert find(index, int(values[0]), int(values[4_999]), 2**64 - 1) == {0: [100], 1: [5_099], 2: [5_100]}
    assert find(index, *random.integers(0, 2**64 - 1, 500, dtype=np.uint64).tolist()) == {}


def test_ids_leave_after_the_window_and_no_sooner() -> None:
    index = DedupeIndex(24 * HOUR, 10_000)
    for hour in range(48):
        index.add([hour], hour, hour * HOUR)
        index.forget(hour * HOUR, 0)
        assert set(find(index, *range(48))) >= set(range(max(0, hour - 24), hour + 1))
        assert len(index) <= 24 + 24 // dedupe.SPANS_PER_WINDOW + 2


def test_trimmed_records_are_forgotten() -> None:
    index = DedupeIndex(24 * HOUR, 10_000)
    index.load(np.arange(10, dtype=np.uint64), 0, 1, 1)
    index.load(np.arange(10, 20, dtype=np.uint64), 10, 13 * HOUR, 13 * HOUR)
    index.forget(14 * HOUR, first_offset=10)
    assert set(find(index, *range(20))) == set(range(10, 20))


def test_a_flood_shortens_the_window_instead_of_growing_memory() -> None:
    index = DedupeIndex(24 * HOUR, 200_000)
    random = np.random.default_rng(2)
    for block in range(20):
        hashes = random.integers(0, 2**64 - 1, dedupe.RECENT_IDS, dtype=np.uint64).tolist()
        index.add(hashes, block * dedupe.RECENT_IDS, block)
        index.forget(block, 0)
        assert len(index) <= 200_000 + dedupe.RECENT_IDS
    assert set(find(index, *hashes[:10])) == set(range(10))


def test_states_its_bytes_per_id() -> None:
    index = DedupeIndex(24 * HOUR, 10_000_000)
    index.load(np.arange(1_000_000, dtype=np.uint64), 0, 1, 1)
    assert index.memory_bytes == 14_000_008

"""The frame codec: what goes in comes out, and every changed byte shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pistats.errors import CorruptionError
from pistats.stream import frame
from pistats.stream.frame import FrameTotals, FrameWriter

records = st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=300)), min_size=1, max_size=30)


def encode(pairs: list[tuple[bytes, bytes]], **changes: object) -> bytes:
    arguments: dict[str, object] = {
        "previous_crc": 7,
        "first_offset": 1_000,
        "append_time": 1_790_000_000_000,
        "hashes": np.arange(len(pairs), dtype=np.uint64),
        "keys": [key for key, _ in pairs],
        "payloads": [payload for _, payload in pairs],
        "batches": [(bytes(16), len(pairs))],
        "totals": FrameTotals(3, 1),
    }
    return FrameWriter(2, 5).encode(**(arguments | changes))  # type: ignore[arg-type]


@given(records)
def test_records_come_back_as_they_went_in(pairs: list[tuple[bytes, bytes]]) -> None:
    decoded = frame.decode(encode(pairs))
    assert [(record.key, record.payload) for record in decoded] == pairs
    assert [record.offset for record in decoded] == list(range(1_000, 1_000 + len(pairs)))
    assert {record.append_time for record in decoded} == {1_790_000_000_000}


def test_header_hashes_and_batches_are_read_without_decompressing() -> None:
    batches = [(b"a" * 16, 1), (b"b" * 16, 2)]
    encoded = encode([(b"k", b"v")] * 3, hashes=np.array([9, 2**64 - 1, 5], dtype=np.uint64), batches=batches)
    header = frame.checked_header(encoded)
    assert (header.partition, header.epoch, header.previous_crc, header.end_offset) == (2, 5, 7, 1_003)
    assert (header.duplicates, header.conflicts, header.length) == (3, 1, len(encoded))
    assert frame.hashes_of(encoded, header).tolist() == [9, 2**64 - 1, 5]
    assert frame.batches_of(encoded, header) == batches
    assert len(encoded) % frame.ALIGNMENT == 0


def test_every_flipped_bit_is_detected() -> None:
    encoded = encode([(b"site\x1fevent", b'{"name":"page_view"}')])
    for position in range(len(encoded)):
        for bit in range(8):
            changed = bytearray(encoded)
            changed[position] ^= 1 << bit
            with pytest.raises(CorruptionError):
                frame.decode(bytes(changed))


def test_every_truncation_is_detected() -> None:
    encoded = encode([(b"site\x1fevent", b'{"name":"page_view"}')])
    for length in range(len(encoded)):
        with pytest.raises(CorruptionError):
            frame.decode(encoded[:length])

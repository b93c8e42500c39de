"""A reader written from `docs/LOG_FORMAT.md` alone reads what the log writes."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import xxhash
import zstandard

from pistats.settings import StreamSettings
from pistats.stream.batch import Batch
from pistats.stream.file_log import FileLog


def read_by_the_document(path: Path) -> list[tuple[int, bytes, bytes]]:
    data = path.read_bytes()
    assert data[:8] == b"piSTREAM"
    assert struct.unpack_from("<II", data, 8) == (1, zlib.crc32(data[16:96]))
    offset, records, position, previous = struct.unpack_from("<Q", data, 32)[0], [], 96, 0
    while position < len(data):
        length, crc, named_previous = struct.unpack_from("<III", data, position + 4)
        frame = data[position : position + length]
        assert frame[:4] == b"piSF"
        assert (zlib.crc32(frame[12:]), previous, length % 8) == (crc, named_previous, 0)
        (first_offset,) = struct.unpack_from("<Q", frame, 32)
        count, batches, packed, raw_bytes = struct.unpack_from("<IIII", frame, 48)
        assert first_offset == offset
        start = 80 + 8 * count + 20 * batches
        raw = zstandard.ZstdDecompressor().decompress(frame[start : start + packed], max_output_size=raw_bytes)
        lengths = struct.unpack_from(f"<{2 * count}I", raw)
        pieces, end = [], 8 * count
        for piece in lengths:
            pieces.append(raw[end : end + piece])
            end += piece
        hashes = struct.unpack_from(f"<{count}Q", frame, 80)
        assert list(hashes) == [xxhash.xxh3_64_intdigest(key) for key in pieces[:count]]
        records += list(zip(range(offset, offset + count), pieces[:count], pieces[count:], strict=True))
        offset, position, previous = offset + count, position + length, crc
    return records


def test_the_document_is_enough_to_read_a_log(directory: Path, make_batch: Callable[..., Batch]):
    log = FileLog.open(directory, 3, StreamSettings(disk_high_water=1.0))
    batches = [make_batch(1, "a", "b"), make_batch(2, "c"), make_batch(3, "d", "e", "f")]
    for batch in batches:
        log.append([batch])
    (path,) = directory.glob("*.log")
    expected = [pair for batch in batches for pair in zip(batch.keys, batch.payloads, strict=True)]
    assert [(key, payload) for _, key, payload in read_by_the_document(path)] == expected
    assert [offset for offset, _, _ in read_by_the_document(path)] == list(range(6))

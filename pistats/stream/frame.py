"""The frame: one committed group of batches as bytes. Specified in `docs/LOG_FORMAT.md`; change both or neither.

A frame can be checked on its own (its CRC covers everything behind the CRC field) and names the CRC of the frame before
it, so a sequence can be checked for a missing, foreign or repeated frame.
"""

import itertools
import struct
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard

from pistats.errors import CorruptionError
from pistats.stream.batch import Record

MAGIC = b"piSF"
VERSION = 1
CODEC_ZSTD = 1
ZSTD_LEVEL = 1
"""Level 1: 0.3 µs and about 73 bytes an event; level 3 saves 4 % and costs twice the time."""

_HEADER = struct.Struct("<4sIIIHBBIQQqIIIIQQ")
HEADER_BYTES = _HEADER.size
_CHECKED_FROM = 12
_BATCH = struct.Struct("<16sI")
ALIGNMENT = 8
"""Frames start at multiples of 8, so that the hash array can be used where it lies and a search steps by 8."""


class FrameHeader(NamedTuple):
    """The first 80 bytes of a frame."""

    magic: bytes
    length: int
    crc: int
    previous_crc: int
    version: int
    codec: int
    flags: int
    partition: int
    epoch: int
    first_offset: int
    append_time: int
    records: int
    batches: int
    body_bytes: int
    raw_bytes: int
    duplicates: int
    conflicts: int

    @property
    def end_offset(self) -> int:
        return self.first_offset + self.records

    @property
    def hashes_end(self) -> int:
        return HEADER_BYTES + 8 * self.records

    @property
    def head_end(self) -> int:
        """Where header, hashes and batch table end and the compressed records begin."""
        return self.hashes_end + _BATCH.size * self.batches


@dataclass(frozen=True, slots=True)
class FrameTotals:
    """What the partition had acknowledged without storing, up to and including this frame."""

    duplicates: int = 0
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class Columns:
    """The records of one frame, column by column: cheaper than a list of `Record`."""

    first_offset: int
    append_time: int
    keys: list[bytes]
    payloads: list[bytes]
    duplicates: int
    """As in `FrameTotals`."""


class FrameWriter:
    """Encodes frames for one partition and epoch. Not thread-safe: it owns one compressor."""

    def __init__(self, partition: int, epoch: int) -> None:
        self._partition = partition
        self._epoch = epoch
        self._compress = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=False).compress

    def encode(
        self,
        *,
        previous_crc: int,
        first_offset: int,
        append_time: int,
        hashes: npt.NDArray[np.uint64],
        keys: Sequence[bytes],
        payloads: Sequence[bytes],
        batches: Sequence[tuple[bytes, int]],
        totals: FrameTotals,
    ) -> bytes:
        """The frame's bytes. `batches` are (batch id, records stored), in the order of the records."""
        count = len(keys)
        lengths = np.empty(2 * count, dtype="<u4")
        lengths[:count] = np.fromiter(map(len, keys), dtype="<u4", count=count)
        lengths[count:] = np.fromiter(map(len, payloads), dtype="<u4", count=count)
        raw = b"".join((lengths.tobytes(), *keys, *payloads))
        body = self._compress(raw)
        table = b"".join(_BATCH.pack(*batch) for batch in batches)
        unpadded = HEADER_BYTES + 8 * count + len(table) + len(body)
        length = -(-unpadded // ALIGNMENT) * ALIGNMENT
        fields = (
            previous_crc, VERSION, CODEC_ZSTD, 0, self._partition, self._epoch, first_offset, append_time,
            count, len(batches), len(body), len(raw), totals.duplicates, totals.conflicts,
        )  # fmt: skip
        tail = b"".join((hashes.astype("<u8", copy=False).tobytes(), table, body, bytes(length - unpadded)))
        header = _HEADER.pack(MAGIC, length, 0, *fields)
        crc = zlib.crc32(tail, zlib.crc32(header[_CHECKED_FROM:]))
        return _HEADER.pack(MAGIC, length, crc, *fields) + tail


def header_at(data: bytes | memoryview, position: int = 0) -> FrameHeader | None:
    """The header at `position` if the bytes there can be one; says nothing about the frame's content."""
    if len(data) - position < HEADER_BYTES:
        return None
    header = FrameHeader._make(_HEADER.unpack_from(data, position))
    plausible = header.magic == MAGIC and header.version == VERSION and header.length % ALIGNMENT == 0
    return header if plausible and header.head_end + header.body_bytes <= header.length else None


def valid_header_at(data: bytes | memoryview, position: int = 0) -> FrameHeader | None:
    """The header at `position` if a whole frame with the right CRC lies there."""
    header = header_at(data, position)
    if header is None or len(data) - position < header.length:
        return None
    view = memoryview(data)[position + _CHECKED_FROM : position + header.length]
    return header if zlib.crc32(view) == header.crc else None


def checked_header(frame: bytes | memoryview) -> FrameHeader:
    """The header of a whole frame whose CRC is right. Raises CorruptionError otherwise."""
    header = valid_header_at(frame)
    if header is None or header.length != len(frame):
        raise CorruptionError(
            f"a frame of {len(frame)} bytes does not match its CRC: the stored bytes have changed. "
            "Run `pistats stream verify` on the partition's directory to find the place"
        )
    return header


def hashes_of(frame: bytes | memoryview, header: FrameHeader, position: int = 0) -> npt.NDArray[np.uint64]:
    """XXH3-64 of each record's key, without decompressing: a view of the frame's bytes."""
    return np.frombuffer(frame, dtype="<u8", count=header.records, offset=position + HEADER_BYTES)


def batches_of(frame: bytes | memoryview, header: FrameHeader, position: int = 0) -> list[tuple[bytes, int]]:
    """(batch id, records stored) in record order, without decompressing."""
    start = position + header.hashes_end
    table = memoryview(frame)[start : start + _BATCH.size * header.batches]
    return [(bytes(batch_id), count) for batch_id, count in _BATCH.iter_unpack(table)]


_per_thread = threading.local()


def _decompressor() -> Any:
    """One per thread: a zstd context is not thread-safe, and making one costs more than a small frame."""
    if not hasattr(_per_thread, "decompress"):
        _per_thread.decompress = zstandard.ZstdDecompressor().decompress
    return _per_thread.decompress


def columns(frame: bytes) -> Columns:
    """The records of a frame as columns. Checks the CRC: raises CorruptionError when the bytes have changed."""
    header = checked_header(frame)
    body = memoryview(frame)[header.head_end : header.head_end + header.body_bytes]
    raw: bytes = _decompressor()(body, max_output_size=header.raw_bytes)
    count = header.records
    ends = np.cumsum(np.frombuffer(raw, dtype="<u4", count=2 * count), dtype=np.int64)
    bounds: list[int] = (ends + 8 * count).tolist()
    bounds.insert(0, 8 * count)
    pieces = [raw[start:end] for start, end in itertools.pairwise(bounds)]
    return Columns(header.first_offset, header.append_time, pieces[:count], pieces[count:], header.duplicates)


def decode(frame: bytes) -> list[Record]:
    """The records of a frame, in order. Checks the CRC: raises CorruptionError when the bytes have changed."""
    content = columns(frame)
    offsets = range(content.first_offset, content.first_offset + len(content.keys))
    append_time = content.append_time
    return [
        Record(offset, append_time, key, payload)
        for offset, key, payload in zip(offsets, content.keys, content.payloads, strict=True)
    ]

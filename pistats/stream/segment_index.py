"""The sidecar of a sealed segment: its sparse index and key hashes, so that a start need not walk every frame.

It holds nothing that the segment does not: missing, torn or stale, it is made again from the frames.
"""

import struct
import zlib
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pistats.stream.disk import Disk
from pistats.stream.segment import LogSegment, SegmentHeader

_MAGIC = b"piSINDEX"
_VERSION = 1
_HEADER = struct.Struct("<8sIIIIQQIIqq")
_CHECKED_FROM = 16


@dataclass(frozen=True, slots=True)
class SegmentIndex:
    """The segment as it was when the sidecar was written."""

    segment: LogSegment
    hashes: npt.NDArray[np.uint64] | None
    """XXH3-64 of each record's key in offset order; None when it was not asked for."""


def encode(segment: LogSegment, hashes: npt.NDArray[np.uint64]) -> bytes:
    """The sidecar's bytes. `hashes` are XXH3-64 of each record's key, in offset order."""
    entries = b"".join((segment.offsets.tobytes(), segment.append_times.tobytes(), segment.positions.tobytes()))
    tail = hashes.astype("<u8", copy=False).tobytes()
    fields = (
        zlib.crc32(tail), len(segment.positions), segment.length, segment.end_offset, segment.last_crc, 0,
        segment.oldest_append_time or 0, segment.newest_append_time,
    )  # fmt: skip
    header = _HEADER.pack(_MAGIC, _VERSION, 0, *fields)
    crc = zlib.crc32(entries, zlib.crc32(header[_CHECKED_FROM:]))
    return _HEADER.pack(_MAGIC, _VERSION, crc, *fields) + entries + tail


def read(disk: Disk, path: Path, header: SegmentHeader, *, hashes_since: int) -> SegmentIndex | None:
    """The sidecar of the segment with this header, None when it is missing or not what was written.

    The hashes are read when the segment's newest record is from `hashes_since` (Unix ms) or later.
    """
    try:
        head = disk.read(path, 0, _HEADER.size)
    except FileNotFoundError:
        return None
    if len(head) < _HEADER.size or head[:8] != _MAGIC:
        return None
    _, version, crc, hashes_crc, count, length, end_offset, last_crc, _, oldest, newest = _HEADER.unpack(head)
    entries = disk.read(path, _HEADER.size, 24 * count)
    if (
        version != _VERSION
        or crc != zlib.crc32(entries, zlib.crc32(head[_CHECKED_FROM:]))
        or len(entries) != 24 * count
    ):
        return None
    columns = [array("q", entries[8 * count * i : 8 * count * (i + 1)]) for i in range(3)]
    segment = LogSegment(header, length, end_offset, last_crc, oldest if count else None, newest, *columns)
    if newest < hashes_since:
        return SegmentIndex(segment, None)
    tail = disk.read(path, _HEADER.size + 24 * count, 8 * (end_offset - header.id.first_offset))
    if zlib.crc32(tail) != hashes_crc:
        return None
    return SegmentIndex(segment, np.frombuffer(tail, dtype="<u8"))

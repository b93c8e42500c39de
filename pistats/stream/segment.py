"""A segment: one file of a log, written by one epoch. Its header says where it continues and seals its predecessor.

The log is the chain of segments from the newest backwards: each header names the segment before it and how many bytes
of that one count. What a fenced writer adds behind that length, or in a file outside the chain, does not exist.
"""

import bisect
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pistats.errors import CorruptionError
from pistats.stream import frame
from pistats.stream.frame import FrameHeader

MAGIC = b"piSTREAM"
VERSION = 1
SUFFIX = ".log"
_HEADER = struct.Struct("<8sIIIIQQqQQQI20x")
HEADER_BYTES = _HEADER.size
_CHECKED_FROM = 16
INDEX_INTERVAL_BYTES = 65_536
"""One index entry (24 bytes of memory) per 64 KiB of log: 0.04 %, and a read starts at most that far too early."""


class SegmentId(NamedTuple):
    """What a segment's file name says."""

    first_offset: int
    epoch: int

    @property
    def name(self) -> str:
        return f"{self.first_offset:020d}-{self.epoch:010d}{SUFFIX}"

    @classmethod
    def parse(cls, name: str) -> "SegmentId | None":
        """The id when this is the name of a segment."""
        first_offset, _, epoch = name.removesuffix(SUFFIX).partition("-")
        if not name.endswith(SUFFIX) or not (first_offset.isdigit() and epoch.isdigit()):
            return None
        return cls(int(first_offset), int(epoch))


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first 96 bytes of a segment file."""

    partition: int
    id: SegmentId
    created_time: int
    previous: SegmentId | None
    previous_length: int
    """How many bytes of the previous segment count."""
    previous_crc: int
    """CRC of the last frame before this segment, 0 at the start of the log."""

    def encode(self) -> bytes:
        previous = self.previous or SegmentId(0, 0)
        body = _HEADER.pack(
            MAGIC, VERSION, 0, self.partition, 0, self.id.epoch, self.id.first_offset, self.created_time,
            previous.first_offset, previous.epoch, self.previous_length, self.previous_crc,
        )  # fmt: skip
        crc = zlib.crc32(body[_CHECKED_FROM:])
        return body[:12] + struct.pack("<I", crc) + body[_CHECKED_FROM:]

    @classmethod
    def decode(cls, data: bytes, segment: SegmentId, partition: int, where: str) -> "SegmentHeader":
        """Raises CorruptionError unless `data` begins with the header of this segment of this partition."""
        if len(data) < HEADER_BYTES:
            raise CorruptionError(f"{where} is shorter than a segment header: restore it or this partition's directory")
        magic, version, crc, found_partition, _, epoch, first_offset, created, *previous = _HEADER.unpack_from(data)
        if magic != MAGIC or version != VERSION or crc != zlib.crc32(data[_CHECKED_FROM:HEADER_BYTES]):
            raise CorruptionError(
                f"{where} does not begin with a segment header of version {VERSION}: its bytes have changed, or a "
                "newer piStats wrote it. Run `pistats stream verify` on the directory"
            )
        if (found_partition, first_offset, epoch) != (partition, *segment):
            raise CorruptionError(
                f"{where} says that it is partition {found_partition}, offset {first_offset}, epoch {epoch}: "
                "a file was renamed or copied here from elsewhere"
            )
        before = SegmentId(previous[0], previous[1]) if previous[1] else None
        return cls(partition, segment, created, before, previous[2], previous[3])


@dataclass(slots=True)
class LogSegment:
    """A segment in memory: where it ends and a sparse index. Grown by the writer, read by any thread."""

    header: SegmentHeader
    length: int
    """Bytes that count, header included."""
    end_offset: int
    last_crc: int
    oldest_append_time: int | None = None
    newest_append_time: int = 0
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    append_times: "array[int]" = field(default_factory=lambda: array("q"))
    positions: "array[int]" = field(default_factory=lambda: array("q"))

    @classmethod
    def empty(cls, header: SegmentHeader) -> "LogSegment":
        return cls(header, HEADER_BYTES, header.id.first_offset, header.previous_crc)

    @property
    def first_offset(self) -> int:
        return self.header.id.first_offset

    @property
    def name(self) -> str:
        return self.header.id.name

    @property
    def index_name(self) -> str:
        return self.name.removesuffix(SUFFIX) + ".index"

    def grow(self, added: FrameHeader) -> None:
        """Take in a frame that is durable at the end. Index entries come before the length that lets readers in."""
        if not self.positions or self.length - self.positions[-1] >= INDEX_INTERVAL_BYTES:
            self.offsets.append(added.first_offset)
            self.append_times.append(added.append_time)
            self.positions.append(self.length)
        if self.oldest_append_time is None:
            self.oldest_append_time = added.append_time
        self.newest_append_time = added.append_time
        self.last_crc = added.crc
        self.end_offset = added.end_offset
        self.length += added.length

    def position_before(self, offset: int) -> int:
        """Position of a frame that begins at or before `offset`."""
        index = bisect.bisect_right(self.offsets, offset) - 1
        return self.positions[index] if index >= 0 else HEADER_BYTES

    def offset_before_time(self, append_time: int) -> int:
        """First offset of a frame at or before the first one appended at `append_time` or later."""
        index = bisect.bisect_left(self.append_times, append_time) - 1
        return self.offsets[index] if index >= 0 else self.first_offset


class Fault(NamedTuple):
    """Where a walk over frames stopped before the end of the bytes, and why."""

    position: int
    reason: str


def walk(
    data: memoryview, start: int, end: int, *, partition: int, offset: int, previous_crc: int
) -> Iterator[tuple[int, FrameHeader] | Fault]:
    """Each frame between `start` and `end` with its position; a Fault, and nothing after it, at the first bad one."""
    position = start
    while position < end:
        header = frame.valid_header_at(data[position:end])
        if header is None:
            yield Fault(position, "no whole frame with a matching CRC")
            return
        if (header.partition, header.first_offset, header.previous_crc) != (partition, offset, previous_crc):
            yield Fault(position, f"a frame that does not continue the one before it (offset {header.first_offset})")
            return
        yield position, header
        position += header.length
        offset, previous_crc = header.end_offset, header.crc


def next_valid_frame(data: bytes | memoryview, position: int, partition: int) -> int | None:
    """Position of a whole, valid frame of this partition after `position`: so what lies between is no torn tail.

    A frame is written only when the one before it is durable, so a power loss can hurt the last one only.
    """
    content = bytes(data)
    position += frame.ALIGNMENT
    while (position := content.find(frame.MAGIC, position)) >= 0:
        if position % frame.ALIGNMENT == 0:
            header = frame.valid_header_at(content, position)
            if header is not None and header.partition == partition:
                return position
        position += 1
    return None

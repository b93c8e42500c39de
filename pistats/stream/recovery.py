"""Finds the log that a directory holds: the chain of segments, the torn tail to leave behind, what is no part of it.

Changes nothing but the last frame, which it writes again, and missing index files. Whatever is wrong in a way that a
crash cannot explain raises CorruptionError: nothing is skipped.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pistats.errors import CorruptionError
from pistats.stream import frame, segment_index
from pistats.stream.disk import TEMPORARY, Disk
from pistats.stream.frame import FrameHeader
from pistats.stream.segment import (
    HEADER_BYTES,
    SUFFIX,
    Fault,
    LogSegment,
    SegmentHeader,
    SegmentId,
    next_valid_frame,
    walk,
)

Hashes = npt.NDArray[np.uint64]


@dataclass(slots=True)
class Recovered:
    """A log as it was found. `hashes` has an entry for each segment that reaches into the dedupe window."""

    segments: list[LogSegment] = field(default_factory=list)
    """The chain, oldest first; the newest may be empty, no other is."""
    hashes: list[tuple[LogSegment, Hashes]] = field(default_factory=list)
    garbage: list[str] = field(default_factory=list)
    """Names of files that no log consists of."""
    indexes_rebuilt: int = 0
    cut_bytes: int = 0

    @property
    def end_offset(self) -> int:
        return self.segments[-1].end_offset if self.segments else 0


def segment_ids(disk: Disk, directory: Path) -> list[SegmentId]:
    """Every segment file in the directory, part of the chain or not, by offset and epoch."""
    return sorted(found for name in disk.names(directory) if (found := SegmentId.parse(name)) is not None)


def recover(disk: Disk, directory: Path, partition: int, *, hashes_since: int) -> Recovered:
    """Read the directory's log. The caller holds the newest epoch, so nobody else's append can still be acknowledged.

    Raises CorruptionError when something is missing or changed that was acknowledged once.
    """
    return _Recovery(disk, directory, partition, hashes_since).run()


class _Recovery:
    def __init__(self, disk: Disk, directory: Path, partition: int, hashes_since: int) -> None:
        self._disk = disk
        self._directory = directory
        self._partition = partition
        self._hashes_since = hashes_since
        self._found = Recovered()

    def run(self) -> Recovered:
        ids = segment_ids(self._disk, self._directory)
        chain = self.chain(ids)
        for header, successor in itertools.pairwise(chain):
            self._take(*self._sealed(header, successor))
        if chain:
            self._take(*self._newest(chain[-1]))
        self._collect_garbage(chain)
        return self._found

    def chain(self, ids: list[SegmentId]) -> list[SegmentHeader]:
        """Headers of the log's segments, oldest first: from the newest one back along the links."""
        chain: list[SegmentHeader] = []
        link = max(ids, key=lambda found: (found.epoch, found.first_offset), default=None)
        while link is not None and link in ids:
            chain.insert(0, self._header(link))
            link = chain[0].previous
        older = [found for found in ids if chain and found.first_offset < chain[0].id.first_offset]
        if older:
            raise CorruptionError(
                f"{self._path(link) if link else self._directory} is missing: {chain[0].id.name} continues it, and "
                f"{older[-1].name} lies before it. Segments leave oldest first, so this one was removed by hand: "
                f"restore it, or move the older ones away to give up the records below {chain[0].id.first_offset}"
            )
        return chain

    def _header(self, segment: SegmentId) -> SegmentHeader:
        path = self._path(segment)
        data = self._disk.read(path, 0, HEADER_BYTES)
        return SegmentHeader.decode(data, segment, self._partition, str(path))

    def _sealed(self, header: SegmentHeader, successor: SegmentHeader) -> tuple[LogSegment, Hashes | None]:
        """A segment that has a successor: its length and last CRC are known and have to be met exactly."""
        length, crc = successor.previous_length, successor.previous_crc
        size = self._disk.size(self._path(header.id))
        if size < length:
            raise CorruptionError(
                f"{self._path(header.id)} has {size} bytes of the {length} that its successor counts: acknowledged "
                "records are missing. Restore the file; `pistats stream verify` shows what else is wrong"
            )
        index = self._read_index(header)
        if index is not None and (index.segment.length, index.segment.last_crc) == (length, crc):
            return index.segment, index.hashes
        segment, hashes, fault = self._scan(header, self._disk.read(self._path(header.id), 0, length))
        if fault is not None or segment.last_crc != crc:
            raise self._corrupt(header, fault or Fault(segment.length, "another last frame than its successor names"))
        self._found.indexes_rebuilt += 1
        self._write_index(segment, hashes)
        return segment, hashes

    def _newest(self, header: SegmentHeader) -> tuple[LogSegment, Hashes | None]:
        """The segment without a successor: may end in a torn frame, which was never acknowledged."""
        path = self._path(header.id)
        data = self._disk.read(path, 0, self._disk.size(path))
        segment, hashes, fault = self._scan(header, data)
        if fault is not None:
            later = next_valid_frame(data, fault.position, self._partition)
            if later is not None:
                raise self._corrupt(header, fault, f", and a valid frame follows at byte {later}")
            self._found.cut_bytes = len(data) - fault.position
        index = self._read_index(header)
        if index is not None and index.segment.length > segment.length:
            reason = f"; its index, written at a clean end, counts {index.segment.length} bytes"
            raise self._corrupt(header, fault or Fault(segment.length, "the file ends"), reason)
        self._write_last_frame_again(path, data, segment)
        if segment.positions and (index is None or index.segment.length != segment.length):
            self._write_index(segment, hashes)
        return segment, hashes

    def _scan(self, header: SegmentHeader, data: bytes) -> tuple[LogSegment, Hashes, Fault | None]:
        """Walk the frames up to the end or the first bad one."""
        segment = LogSegment.empty(header)
        pieces: list[Hashes] = []
        fault: Fault | None = None
        for found in frames_of(header, data):
            if isinstance(found, Fault):
                fault = found
                break
            position, frame_header = found
            pieces.append(frame.hashes_of(data, frame_header, position))
            segment.grow(frame_header)
        hashes = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.uint64)
        return segment, hashes, fault

    def _write_last_frame_again(self, path: Path, data: bytes, segment: LogSegment) -> None:
        """Make what will be served as stored durable indeed.

        The last frame may be there only because a failed sync left it in the page cache, marked clean, where a sync
        alone would do nothing. Writing the same bytes again makes it durable or fails; frames before it are durable.
        """
        if not segment.positions:
            return
        start = segment.positions[-1]
        while (header := frame.header_at(data, start)) is not None and start + header.length < segment.length:
            start += header.length
        file = self._disk.open(path)
        try:
            file.write(start, data[start : segment.length])
            file.sync()
        finally:
            file.close()

    def _read_index(self, header: SegmentHeader) -> segment_index.SegmentIndex | None:
        name = LogSegment.empty(header).index_name
        return segment_index.read(
            self._disk, self._directory / name, header, hashes_since=self._hashes_since
        )  # fmt: skip

    def _write_index(self, segment: LogSegment, hashes: Hashes) -> None:
        with contextlib.suppress(OSError):  # without it, the next start takes the same walk
            self._disk.replace(self._directory / segment.index_name, segment_index.encode(segment, hashes))

    def _take(self, segment: LogSegment, hashes: Hashes | None) -> None:
        before = self._found.segments[-1] if self._found.segments else None
        if before is not None and before.end_offset != segment.first_offset:
            raise CorruptionError(
                f"{self._path(segment.header.id)} begins at {segment.first_offset}, the segment before it ends at "
                f"{before.end_offset}: run `pistats stream verify` on the directory"
            )
        self._found.segments.append(segment)
        if hashes is not None and segment.newest_append_time >= self._hashes_since:
            self._found.hashes.append((segment, hashes))

    def _collect_garbage(self, chain: list[SegmentHeader]) -> None:
        """What fenced writers, trims and crashes have left."""
        kept = {header.id.name.removesuffix(SUFFIX) for header in chain}
        for name in self._disk.names(self._directory):
            stem, dot, kind = name.partition(".")
            is_ours = dot and kind in ("log", "index") and SegmentId.parse(stem + SUFFIX) is not None
            if TEMPORARY in name or (is_ours and stem not in kept):
                self._found.garbage.append(name)

    def _path(self, segment: SegmentId) -> Path:
        return self._directory / segment.name

    def _corrupt(self, header: SegmentHeader, fault: Fault, more: str = "") -> CorruptionError:
        return CorruptionError(
            f"{self._path(header.id)}: {fault.reason} at byte {fault.position}{more}. Acknowledged records are "
            "damaged. The partition stays stopped: restore the file from a copy, or decide with `pistats stream "
            f"verify {self._directory}`, which names the offsets that are hurt"
        )


def frames_of(header: SegmentHeader, data: bytes) -> Iterator[tuple[int, FrameHeader] | Fault]:
    """Each frame of a segment's bytes with its position; a Fault, and nothing after it, at the first bad one."""
    return walk(
        memoryview(data),
        HEADER_BYTES,
        len(data),
        partition=header.partition,
        offset=header.id.first_offset,
        previous_crc=header.previous_crc,
    )

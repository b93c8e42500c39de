"""Checks a partition's directory without changing it: every frame, every link, every index, and says what to do."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from pistats.errors import CorruptionError
from pistats.stream import segment_index
from pistats.stream.disk import Disk, RealDisk
from pistats.stream.epoch import last_epoch
from pistats.stream.recovery import frames_of, segment_ids
from pistats.stream.segment import HEADER_BYTES, Fault, LogSegment, SegmentHeader, SegmentId, next_valid_frame


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a crash cannot explain: acknowledged records may be hurt."""

    where: str
    what: str
    advice: str


@dataclass(slots=True)
class VerifyReport:
    """What a directory holds. Sound when there are no problems; notes are what the next start mends by itself."""

    partition: int | None = None
    epoch: int = 0
    first_offset: int = 0
    end_offset: int = 0
    segments: int = 0
    frames: int = 0
    records: int = 0
    size_bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not self.problems


def verify(directory: Path, disk: Disk | None = None) -> VerifyReport:
    """Read everything in the directory of one partition. Safe while a writer appends: what it adds is not looked at."""
    return _Verification(disk or RealDisk(), directory).run()


class _Verification:
    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory
        self._report = VerifyReport()

    def run(self) -> VerifyReport:
        ids = segment_ids(self._disk, self._directory)
        self._check_epoch(max((found.epoch for found in ids), default=0))
        if not ids:
            self._report.notes.append("no segments: an empty log, or not a partition's directory")
            return self._report
        chain = self._chain(ids)
        for header, successor in itertools.zip_longest(chain, chain[1:]):
            self._check_segment(header, successor)
        self._check_continuity(chain)
        for unused in sorted({found.name for found in ids} - {header.id.name for header in chain}):
            self._report.notes.append(f"{unused} is no part of the log (a fenced writer's, or an empty start's)")
        return self._report

    def _check_epoch(self, highest: int) -> None:
        try:
            self._report.epoch = last_epoch(self._disk, self._directory, at_least=highest)
        except CorruptionError as error:
            self._problem("epochs", str(error), "make sure that no writer runs, then remove the directory `epochs`")

    def _chain(self, ids: list[SegmentId]) -> list[SegmentHeader]:
        """Headers oldest first, as far back as the links lead."""
        chain: list[SegmentHeader] = []
        link: SegmentId | None = max(ids, key=lambda found: (found.epoch, found.first_offset))
        while link is not None and link in ids and (header := self._header(link)) is not None:
            chain.insert(0, header)
            link = header.previous
        first = chain[0].id.first_offset if chain else 0
        for lost in (found for found in ids if chain and found.first_offset < first):
            missing = chain[0].previous
            self._problem(
                lost.name,
                f"lies before {chain[0].id.name}, but {missing.name if missing else 'the link to it'} is missing",
                f"restore the missing segment, or move {lost.name} away to give up the records below {first}",
            )
        return chain

    def _header(self, segment: SegmentId) -> SegmentHeader | None:
        data = self._disk.read(self._directory / segment.name, 0, HEADER_BYTES)
        partition = self._report.partition
        if partition is None:
            partition = self._report.partition = int.from_bytes(data[16:20], "little")
        try:
            return SegmentHeader.decode(data, segment, partition, segment.name)
        except CorruptionError as error:
            self._problem(segment.name, str(error), "restore the file from a copy")
            return None

    def _check_segment(self, header: SegmentHeader, successor: SegmentHeader | None) -> None:
        path = self._directory / header.id.name
        size = self._disk.size(path)
        length = size if successor is None else successor.previous_length
        data = self._disk.read(path, 0, length)
        segment, fault = self._walk(header, data)
        if successor is None:
            self._judge_tail(segment, data, fault)
        elif fault is not None or len(data) < length or segment.last_crc != successor.previous_crc:
            place = fault or Fault(len(data), f"{len(data)} bytes of {length}, or another last frame than counted")
            self._hurt(segment, place)
        elif size > length:
            self._report.notes.append(f"{path.name}: {size - length} bytes of a torn or fenced append are left out")
        self._check_index(segment)
        self._report.segments += 1
        self._report.records += segment.end_offset - segment.first_offset
        self._report.size_bytes += segment.length

    def _walk(self, header: SegmentHeader, data: bytes) -> tuple[LogSegment, Fault | None]:
        segment = LogSegment.empty(header)
        for found in frames_of(header, data):
            if isinstance(found, Fault):
                return segment, found
            segment.grow(found[1])
            self._report.frames += 1
        return segment, None

    def _judge_tail(self, segment: LogSegment, data: bytes, fault: Fault | None) -> None:
        if fault is None:
            return
        if next_valid_frame(data, fault.position, segment.header.partition) is None:
            torn = len(data) - fault.position
            self._report.notes.append(f"{segment.name}: a torn last frame of {torn} bytes, which the next start cuts")
        else:
            self._hurt(segment, fault)

    def _check_index(self, segment: LogSegment) -> None:
        path = self._directory / segment.index_name
        index = segment_index.read(self._disk, path, segment.header, hashes_since=0)
        if index is None:
            if path.name in self._disk.names(self._directory):
                self._report.notes.append(f"{path.name} is not what was written: the next start makes it again")
        elif index.segment.length > segment.length and not any(p.where == segment.name for p in self._report.problems):
            place = Fault(segment.length, f"the file ends while its index counts {index.segment.length} bytes")
            self._hurt(segment, place)

    def _check_continuity(self, chain: list[SegmentHeader]) -> None:
        if not chain:
            return
        self._report.first_offset = chain[0].id.first_offset
        self._report.end_offset = self._report.first_offset + self._report.records
        if self._report.end_offset < chain[-1].id.first_offset and self._report.is_sound:
            self._problem(chain[-1].id.name, "begins behind the end of what is before it", "restore what is missing")

    def _hurt(self, segment: LogSegment, fault: Fault) -> None:
        self._problem(
            segment.name,
            f"{fault.reason} at byte {fault.position}: records from offset {segment.end_offset} to the end of this "
            "file are damaged or missing",
            "restore the file from a copy; the partition stays stopped until then",
        )

    def _problem(self, where: str, what: str, advice: str) -> None:
        self._report.problems.append(Problem(where, what, advice))

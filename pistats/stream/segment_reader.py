"""Reads a log's segments while its writer appends: from any thread, without a lock, without decompressing."""

from dataclasses import dataclass
from pathlib import Path

from pistats.errors import CorruptionError
from pistats.stream import frame
from pistats.stream.batch import Fetched
from pistats.stream.disk import Disk
from pistats.stream.frame import FrameHeader
from pistats.stream.position import TrimmedPositionError, check_offset
from pistats.stream.segment import INDEX_INTERVAL_BYTES, LogSegment


@dataclass(frozen=True, slots=True)
class SegmentView:
    """What readers see, replaced as a whole: never a segment without its length, never an offset without its frame."""

    segments: tuple[LogSegment, ...]
    tail_length: int
    """Durable bytes of the last segment; the others are sealed."""
    end_offset: int

    @property
    def first_offset(self) -> int:
        return self.segments[0].first_offset

    @property
    def size_bytes(self) -> int:
        return sum(segment.length for segment in self.segments[:-1]) + self.tail_length

    def segment_with(self, offset: int) -> tuple[LogSegment, int] | None:
        """The segment that holds this offset and how many of its bytes count."""
        for index in range(len(self.segments) - 1, -1, -1):
            segment = self.segments[index]
            if segment.first_offset <= offset:
                return segment, self.tail_length if index == len(self.segments) - 1 else segment.length
        return None


class SegmentReader:
    """Reads from one partition's directory, each time within the view that it is given."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory

    def read(self, view: SegmentView, offset: int, max_bytes: int) -> Fetched:
        """Frames from `offset` on, at least one when there is one, else at most `max_bytes`.

        Raises TrimmedPositionError or BeyondEndError outside the view.
        """
        check_offset(offset, view.first_offset, view.end_offset)
        frames: list[bytes] = []
        oldest: int | None = None
        size, following = 0, offset
        while following < view.end_offset and (size < max_bytes or not frames):
            for header, encoded in self._frames(view, following, max_bytes - size):
                if frames and size + header.length > max_bytes:
                    return Fetched(frames, following, view.end_offset, oldest)
                frames.append(encoded)
                oldest = header.append_time if oldest is None else oldest
                size += header.length
                following = header.end_offset
        return Fetched(frames, following, view.end_offset, oldest)

    def offset_at_time(self, view: SegmentView, append_time: int) -> int:
        """Offset of the first record appended at or after this time (Unix ms), the end when there is none."""
        for segment in view.segments:
            if segment.oldest_append_time is not None and segment.newest_append_time >= append_time:
                following = segment.offset_before_time(append_time)
                while following < view.end_offset:
                    for header, _ in self._frames(view, following, INDEX_INTERVAL_BYTES):
                        if header.append_time >= append_time:
                            return header.first_offset
                        following = header.end_offset
        return view.end_offset

    def _frames(self, view: SegmentView, offset: int, max_bytes: int) -> list[tuple[FrameHeader, bytes]]:
        """Whole frames with records from `offset` on out of one segment, at least one, about `max_bytes` of them."""
        found = view.segment_with(offset)
        if found is None:
            raise self._trimmed(offset, view)
        segment, limit = found
        start = segment.position_before(offset)
        wanted = max(0, max_bytes) + INDEX_INTERVAL_BYTES
        while start < limit:
            data = self._read_bytes(segment, start, min(wanted, limit - start), offset, view)
            frames, skipped, cut_frame_bytes = _split(data, offset)
            if frames:
                return frames
            if not cut_frame_bytes or start + skipped + cut_frame_bytes > limit:
                break
            start, wanted = start + skipped, max(wanted, cut_frame_bytes)
        raise CorruptionError(
            f"{self._directory / segment.name}: no frame for offset {offset} at byte {start}, where the index has it. "
            f"Run `pistats stream verify {self._directory}`"
        )

    def _read_bytes(self, segment: LogSegment, start: int, length: int, offset: int, view: SegmentView) -> bytes:
        try:
            return self._disk.read(self._directory / segment.name, start, length)
        except FileNotFoundError:  # trimmed since the view was taken
            raise self._trimmed(offset, view) from None

    @staticmethod
    def _trimmed(offset: int, view: SegmentView) -> TrimmedPositionError:
        first = max(view.first_offset, offset + 1)
        return TrimmedPositionError(f"offset {offset} has been trimmed: go on at the trim-horizon", first)


def _split(data: bytes, offset: int) -> tuple[list[tuple[FrameHeader, bytes]], int, int]:
    """The whole frames in `data` with records from `offset` on; the bytes before the frame in which `data` ends; its
    length, 0 when what follows is no frame."""
    frames: list[tuple[FrameHeader, bytes]] = []
    position = 0
    while (header := frame.header_at(data, position)) is not None:
        end = position + header.length
        if end > len(data):
            return frames, position, header.length
        if header.end_offset > offset:
            frames.append((header, data[position:end]))
        position = end
    return frames, position, frame.HEADER_BYTES if 0 < len(data) - position < frame.HEADER_BYTES else 0

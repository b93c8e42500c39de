"""The log on the machine's own disk: segment files, one `fdatasync` per group of batches.

The way of an append: what is new (`admission`) → room on the disk → one frame, written and synced → still the newest
epoch? → visible to readers → answers. Nothing is acknowledged before the last step.
"""

import contextlib
import errno
import logging
import time
from pathlib import Path

import numpy as np

from pistats.clock import Clock, now_ms
from pistats.errors import FencedError, OverloadedError, UnavailableError
from pistats.settings import StreamSettings
from pistats.stream import frame, segment_index
from pistats.stream.batch import Fetched
from pistats.stream.disk import Disk, OpenFile, RealDisk
from pistats.stream.epoch import claim_epoch
from pistats.stream.frame import FrameHeader
from pistats.stream.framed_log import FramedLog
from pistats.stream.log import LogStats, Trimmed
from pistats.stream.recovery import Recovered, recover, segment_ids
from pistats.stream.segment import HEADER_BYTES, LogSegment, SegmentHeader, SegmentId
from pistats.stream.segment_reader import SegmentReader, SegmentView

_log = logging.getLogger(__name__)

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
DISK_FULL_RETRY_S = 10.0
"""A full disk is not freed within a second; trimming and operators take longer."""
SEGMENTS_PER_RETENTION = 12
"""A segment is sealed after this part of the retention even if it is small, so trimming keeps 1/12 more at most."""


class FileLog(FramedLog):
    """A partition's log in one directory. Implements `StreamLog`."""

    def __init__(self, directory: Path, partition: int, settings: StreamSettings, clock: Clock, disk: Disk) -> None:
        """Use `open`: this claims the partition and recovers it too."""
        self._directory, self._disk = directory, disk
        self._reader = SegmentReader(disk, directory)
        self._no_space: str | None = None
        now = clock()
        disk.make_directory(directory)
        newest = max((found.epoch for found in segment_ids(disk, directory)), default=0)
        self._claim = claim_epoch(disk, directory, at_least=newest, now=now)
        super().__init__(partition, settings, clock, self._claim.epoch)
        recovered = recover(disk, directory, partition, hashes_since=now - settings.dedupe_window_s * 1000)
        self._indexes_rebuilt, self._cut_bytes = recovered.indexes_rebuilt, recovered.cut_bytes
        self._segment_hashes: list[np.typing.NDArray[np.uint64]] = []
        self._active, self._file = self._begin_after(recovered, now)
        self._last_crc = self._active.last_crc
        segments = (*(segment for segment in recovered.segments if segment.positions), self._active)
        self._view = SegmentView(segments, HEADER_BYTES, self._active.first_offset)
        self._last_append_time = max((segment.newest_append_time for segment in segments), default=0)
        self._remember(recovered)
        for name in recovered.garbage:
            disk.remove(directory / name)

    @classmethod
    def open(
        cls,
        directory: Path,
        partition: int,
        settings: StreamSettings,
        clock: Clock = now_ms,
        disk: Disk | None = None,
    ) -> "FileLog":
        """Take the partition over from any writer before, with all that was acknowledged.

        Raises CorruptionError when stored bytes are missing or changed, UnavailableError when the disk refuses.
        """
        started = time.monotonic()
        try:
            log = cls(directory, partition, settings, clock, disk or RealDisk())
        except OSError as error:
            raise UnavailableError(
                f"partition {partition} cannot be opened in {directory} ({error}): free space or mend the disk"
            ) from error
        _log.info(
            "partition %d open at epoch %d: offsets %d to %d, %d ids in the dedupe window, %d bytes of a torn frame "
            "left behind, %d indexes rebuilt, %.2f s",
            partition, log.epoch, log.first_offset, log.end_offset, len(log._dedupe),
            log._cut_bytes, log._indexes_rebuilt, time.monotonic() - started,
        )  # fmt: skip
        return log

    @property
    def first_offset(self) -> int:
        return self._view.first_offset

    @property
    def end_offset(self) -> int:
        return self._view.end_offset

    # --- appending

    def _check_room(self) -> None:
        used = self._disk.used_share(self._directory)
        if used >= self._settings.disk_high_water:
            raise OverloadedError(
                f"the disk of {self._directory} is {used:.0%} full, the high-water mark is "
                f"{self._settings.disk_high_water:.0%}: nothing was stored. Free space or lower stream.log_retention_s",
                retry_after_s=DISK_FULL_RETRY_S,
            )

    def _prepare(self, now: int) -> None:
        self._check_room()
        if self._is_to_be_sealed(now):
            self._seal(now)

    def _store(self, encoded: bytes, header: FrameHeader) -> None:
        position = self._active.length
        try:
            self._file.write(position, encoded)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise self._stop(f"writing to {self._active.name} failed: {error}") from error
            self._undo_write(position)
            raise self._disk_full(error) from error
        try:
            self._file.sync()
        except OSError as error:
            # Never again: after a failed sync the kernel may call the lost pages clean.
            raise self._stop(f"syncing {self._active.name} failed: {error}") from error
        self._check_epoch()
        self._no_space = None
        self._active.grow(header)
        self._segment_hashes.append(frame.hashes_of(encoded, header).copy())
        self._view = SegmentView(self._view.segments, self._active.length, header.end_offset)

    def _check_epoch(self) -> None:
        try:
            self._claim.check()
        except FencedError as error:
            self._stop(str(error))
            raise

    def _undo_write(self, position: int) -> None:
        try:
            self._file.truncate(position)
        except OSError as error:
            raise self._stop(f"cutting a half-written frame off {self._active.name} failed: {error}") from error

    def _disk_full(self, error: OSError) -> OverloadedError:
        self._no_space = str(error)
        return OverloadedError(
            f"no space for partition {self._partition} in {self._directory} ({error}): nothing of this group was "
            "stored. Free space; appends go on by themselves",
            retry_after_s=DISK_FULL_RETRY_S,
        )

    # --- segments

    def _is_to_be_sealed(self, now: int) -> bool:
        oldest = self._active.oldest_append_time
        longest = self._settings.log_retention_s * 1000 // SEGMENTS_PER_RETENTION
        return self._active.length >= self._settings.segment_bytes or (oldest is not None and now - oldest > longest)

    def _seal(self, now: int) -> None:
        """Go on in a new segment, whose header fixes the length of this one."""
        self._write_index()
        try:
            segment, file = self._create_segment(self._active, now)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise self._stop(f"beginning a segment failed: {error}") from error
            raise self._disk_full(error) from error
        self._file.close()
        self._active, self._file, self._segment_hashes = segment, file, []
        self._view = SegmentView((*self._view.segments, segment), HEADER_BYTES, segment.first_offset)

    def _begin_after(self, recovered: Recovered, now: int) -> tuple[LogSegment, OpenFile]:
        """This epoch's first segment. An empty one before it is left out of the chain: it becomes garbage."""
        last = recovered.segments[-1] if recovered.segments else None
        if last is None or last.positions:
            return self._create_segment(last, now)
        recovered.garbage += [last.name, last.index_name]
        header = last.header
        return self._create(
            SegmentHeader(
                self._partition,
                SegmentId(last.first_offset, self.epoch),
                now,
                header.previous,
                header.previous_length,
                header.previous_crc,
            )
        )

    def _create_segment(self, last: LogSegment | None, now: int) -> tuple[LogSegment, OpenFile]:
        if last is None:
            return self._create(SegmentHeader(self._partition, SegmentId(0, self.epoch), now, None, 0, 0))
        following = SegmentId(last.end_offset, self.epoch)
        header = SegmentHeader(self._partition, following, now, last.header.id, last.length, last.last_crc)
        return self._create(header)

    def _create(self, header: SegmentHeader) -> tuple[LogSegment, OpenFile]:
        path = self._directory / header.id.name
        self._disk.create(path, header.encode())
        return LogSegment.empty(header), self._disk.open(path)

    def _write_index(self) -> None:
        """Spare the next start the walk. A start without it only takes longer, so a failure is none."""
        hashes = np.concatenate(self._segment_hashes) if self._segment_hashes else np.empty(0, dtype=np.uint64)
        try:
            content = segment_index.encode(self._active, hashes)
            self._disk.replace(self._directory / self._active.index_name, content)
        except OSError as error:
            _log.warning("no index for %s: %s", self._active.name, error)

    def _remember(self, recovered: Recovered) -> None:
        """Fill the dedupe window, the batch ids and the counts from the log."""
        for segment, hashes in recovered.hashes:
            oldest = segment.oldest_append_time or 0
            self._dedupe.load(hashes, segment.first_offset, oldest, segment.newest_append_time)
        self._remember_recent_frames()

    # --- reading, from any thread

    def read(self, offset: int, max_bytes: int) -> Fetched:
        """See `StreamLog.read`. Raises TrimmedPositionError or BeyondEndError outside the log."""
        return self._reader.read(self._view, offset, max_bytes)

    def offset_at_time(self, append_time: int) -> int:
        """See `StreamLog.offset_at_time`."""
        return self._reader.offset_at_time(self._view, append_time)

    # --- retention, state, end

    def trim(self, floor_offset: int, *, force: bool = False) -> Trimmed:
        """See `StreamLog.trim`. Whole segments, oldest first; never the one that is being written."""
        self._check_epoch()
        now = self._clock()
        if self._active.positions and self._active.newest_append_time < now - self._settings.log_retention_s * 1000:
            with contextlib.suppress(OverloadedError):  # a full disk is what trimming is to mend
                self._seal(now)
        removed = removed_bytes = 0
        while (oldest := self._expired(now)) is not None and (force or oldest.end_offset <= floor_offset):
            self._view = SegmentView(self._view.segments[1:], self._view.tail_length, self._view.end_offset)
            self._disk.remove(self._directory / oldest.name)
            self._disk.remove(self._directory / oldest.index_name)
            removed, removed_bytes = removed + 1, removed_bytes + oldest.length
        return Trimmed(self.first_offset, removed, removed_bytes, self._count_expired(now))

    def _expired(self, now: int) -> LogSegment | None:
        """The oldest segment when time or size lets it go."""
        oldest, *others = self._view.segments
        if not others:
            return None
        too_old = oldest.newest_append_time < now - self._settings.log_retention_s * 1000
        return oldest if too_old or self._view.size_bytes > self._settings.log_retention_bytes else None

    def _count_expired(self, now: int) -> int:
        horizon = now - self._settings.log_retention_s * 1000
        excess, count = self._view.size_bytes - self._settings.log_retention_bytes, 0
        for segment in self._view.segments[:-1]:
            if segment.newest_append_time >= horizon and excess <= 0:
                break
            excess, count = excess - segment.length, count + 1
        return count

    def stats(self) -> LogStats:
        """See `StreamLog.stats`."""
        view = self._view
        totals = self._admission.totals
        return LogStats(
            epoch=self.epoch,
            first_offset=view.first_offset,
            end_offset=view.end_offset,
            duplicates=totals.duplicates,
            conflicting_duplicates=totals.conflicts,
            segments=len(view.segments),
            bytes_on_disk=self._view.size_bytes,
            oldest_append_time=next((s.oldest_append_time for s in view.segments if s.oldest_append_time), None),
            last_append_time=max((s.newest_append_time for s in view.segments), default=0) or None,
            dedupe_ids=len(self._dedupe),
            dedupe_bytes=self._dedupe.memory_bytes,
            indexes_rebuilt=self._indexes_rebuilt,
            refusing=self._refusing(),
            cut_bytes=self._cut_bytes,
        )

    def _refusing(self) -> str | None:
        try:
            self._check_room()
        except OverloadedError as error:
            return str(error)
        return self._no_space

    def close(self) -> None:
        """See `StreamLog.close`. The index that it leaves also proves later what the segment held."""
        if self._stopped is None:
            self._stopped = "it was closed"
            self._write_index()
            self._file.close()

"""What every log does alike: admit what is new, make one frame of it, store that, remember, answer."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from pistats.clock import Clock
from pistats.settings import StreamSettings
from pistats.stream import frame
from pistats.stream.admission import BATCH_MEMORY_MS, Admission, Admitted, StoredRecords
from pistats.stream.batch import Appended, Batch, Fetched
from pistats.stream.dedupe import DedupeIndex
from pistats.stream.frame import Columns, FrameHeader, FrameTotals, FrameWriter
from pistats.stream.log import LogStoppedError
from pistats.stream.position import TrimmedPositionError

_log = logging.getLogger(__name__)


class FramedLog(ABC):
    """The common half of `StreamLog`; a backend stores and reads frames."""

    def __init__(self, partition: int, settings: StreamSettings, clock: Clock, epoch: int) -> None:
        self._partition, self._settings, self._clock, self._epoch = partition, settings, clock, epoch
        self._stopped: str | None = None
        self._last_append_time = 0
        self._last_crc = 0
        self._writer = FrameWriter(partition, epoch)
        self._dedupe = DedupeIndex(settings.dedupe_window_s * 1000, settings.dedupe_max_ids)
        self._admission = Admission(self._dedupe, StoredRecords(self._columns_at).at, epoch)

    # --- what a backend is asked for

    @property
    @abstractmethod
    def first_offset(self) -> int:
        """See `StreamLog.first_offset`."""

    @property
    @abstractmethod
    def end_offset(self) -> int:
        """See `StreamLog.end_offset`."""

    @abstractmethod
    def read(self, offset: int, max_bytes: int) -> Fetched:
        """See `StreamLog.read`."""

    @abstractmethod
    def offset_at_time(self, append_time: int) -> int:
        """See `StreamLog.offset_at_time`."""

    @abstractmethod
    def _prepare(self, now: int) -> None:
        """Make ready to store a frame. May raise OverloadedError or stop."""

    @abstractmethod
    def _store(self, encoded: bytes, header: FrameHeader) -> None:
        """Make one frame durable and visible, or raise with no trace of it, or stop."""

    @abstractmethod
    def _check_epoch(self) -> None:
        """Raise FencedError, and stop, when a newer writer has taken over."""

    # --- appending

    @property
    def epoch(self) -> int:
        return self._epoch

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """See `StreamLog.append`. One frame for every `max_frame_bytes` of batches."""
        self._check_running()
        answers: list[Appended] = []
        for group in _groups(batches, self._settings.max_frame_bytes):
            answers += self._append_group(group)
        return answers

    def look_up(self, batches: Sequence[Batch]) -> list[Appended]:
        """See `StreamLog.look_up`."""
        self._check_running()
        answers = self._admission.look_up(batches, self.end_offset)
        self._check_epoch()  # afterwards: then nobody else had stored anything until the answers were found
        return answers

    def _append_group(self, batches: list[Batch]) -> list[Appended]:
        now = max(self._clock(), self._last_append_time)  # append times never step back, so they can be searched
        self._dedupe.forget(now, self.first_offset)
        admitted = self._admission.admit(batches, self.end_offset)
        if admitted.keys:
            self._prepare(now)
            encoded = self._encode(admitted, now)
            header = frame.header_at(encoded)
            assert header is not None
            self._store(encoded, header)
            self._last_crc, self._last_append_time = header.crc, now
        else:
            self._check_epoch()
        self._admission.commit(admitted, now)
        return admitted.answers

    def _encode(self, admitted: Admitted, now: int) -> bytes:
        return self._writer.encode(
            previous_crc=self._last_crc,
            first_offset=admitted.first_offset,
            append_time=now,
            hashes=admitted.values,
            keys=admitted.keys,
            payloads=admitted.payloads,
            batches=admitted.batches,
            totals=admitted.totals,
        )

    def _check_running(self) -> None:
        if self._stopped is not None:
            raise LogStoppedError(f"partition {self._partition} has stopped: {self._stopped}")

    def _stop(self, reason: str) -> LogStoppedError:
        self._stopped = reason
        _log.error("partition %d stops: %s", self._partition, reason)
        return LogStoppedError(f"partition {self._partition} stops: {reason}. It has to be opened again")

    # --- what was stored

    def _remember_recent_frames(self) -> None:
        """Recognise the batch ids of the last two minutes, and go on counting, as if there had been no restart."""
        for encoded in self._frames_since(self._last_append_time - BATCH_MEMORY_MS):
            header = frame.checked_header(encoded)
            self._admission.remember(frame.batches_of(encoded, header), header.first_offset, header.append_time)
            self._admission.totals = FrameTotals(header.duplicates, header.conflicts)

    def _frames_since(self, append_time: int) -> Iterator[bytes]:
        offset = self.offset_at_time(append_time)
        while offset < self.end_offset:
            fetched = self.read(offset, self._settings.max_frame_bytes)
            yield from fetched.frames
            offset = fetched.next_offset

    def _columns_at(self, offset: int) -> Columns | None:
        """The frame that holds this record, None when it has been trimmed."""
        try:
            return frame.columns(self.read(offset, 1).frames[0])
        except TrimmedPositionError:
            return None


def _groups(batches: Sequence[Batch], max_bytes: int) -> Iterator[list[Batch]]:
    """Whole batches in order, each group of at most `max_bytes` unless one batch alone is larger."""
    group: list[Batch] = []
    size = 0
    for batch in batches:
        batch_bytes = batch.size_bytes
        if group and size + batch_bytes > max_bytes:
            yield group
            group, size = [], 0
        group.append(batch)
        size += batch_bytes
    if group:
        yield group

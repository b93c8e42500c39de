"""The reader: every record once, in order, in ranges that are worth a commit."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pistats.consumer.reader import PartitionReader
from pistats.errors import CorruptionError
from pistats.stream.batch import Fetched
from pistats.stream.frame import FrameTotals, FrameWriter


def frame_of(first_offset: int, payloads: Sequence[bytes], append_time: int = 0) -> bytes:
    return FrameWriter(0, 1).encode(
        previous_crc=0,
        first_offset=first_offset,
        append_time=append_time,
        hashes=np.zeros(len(payloads), dtype=np.uint64),
        keys=[b"k"] * len(payloads),
        payloads=payloads,
        batches=[(bytes(16), len(payloads))],
        totals=FrameTotals(),
    )


class Log:
    """Frames in memory, given one per fetch; remembers what was asked."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, int, bytes]] = []
        self.asked: list[tuple[int, float]] = []

    @property
    def end(self) -> int:
        return self.frames[-1][1] if self.frames else 0

    def append(self, *payloads: bytes, append_time: int = 0) -> None:
        self.frames.append((self.end, self.end + len(payloads), frame_of(self.end, payloads, append_time)))

    async def fetch(self, partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        self.asked.append((offset, wait_s))
        for _, end, frame in self.frames:
            if end > offset:
                return Fetched([frame], end, self.end, 0)
        return Fetched([], offset, self.end, None)


def reader_of(log: Log, offset: int = 0, max_events: int = 100) -> PartitionReader:
    return PartitionReader(log.fetch, 0, offset, max_events=max_events, flush_interval_s=0)


async def test_an_empty_partition_gives_nothing_after_one_long_poll() -> None:
    log = Log()
    assert await reader_of(log).next() is None
    assert log.asked == [(0, 2.0)]


async def test_frames_are_gathered_into_one_range() -> None:
    log = Log()
    log.append(b"a", b"b", append_time=59_999)
    log.append(b"c", append_time=60_000)
    records = await reader_of(log).next()
    assert records is not None
    assert (records.first_offset, records.end_offset, records.payloads) == (0, 3, [b"a", b"b", b"c"])
    assert (records.append_time, records.minutes(), records.caught_up) == (60_000, [0, 0, 60_000], True)


async def test_a_large_frame_is_given_out_in_full_ranges() -> None:
    log = Log()
    log.append(*(str(number).encode() for number in range(7)), append_time=5)
    reader = reader_of(log, max_events=3)
    ranges = [await reader.next() for _ in range(3)]
    assert [one and one.payloads for one in ranges] == [[b"0", b"1", b"2"], [b"3", b"4", b"5"], [b"6"]]
    assert [one and (one.first_offset, one.caught_up) for one in ranges] == [(0, False), (3, False), (6, True)]


async def test_records_of_a_frame_below_the_offset_are_skipped() -> None:
    log = Log()
    log.append(b"a", b"b", b"c")
    records = await reader_of(log, offset=2).next()
    assert records is not None
    assert (records.first_offset, records.payloads) == (2, [b"c"])


async def test_missing_records_stop_it() -> None:
    log = Log()
    log.frames.append((5, 6, frame_of(5, [b"x"])))
    with pytest.raises(CorruptionError, match="offsets 0 to 4 are missing"):
        await reader_of(log).next()


async def test_a_failed_fetch_loses_nothing() -> None:
    log = Log()
    log.append(b"a")
    healthy, failures = log.fetch, [ConnectionError()]

    async def fetch(partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        if failures:
            raise failures.pop()
        return await healthy(partition, offset, max_bytes, wait_s)

    reader = PartitionReader(fetch, 0, 0, max_events=10, flush_interval_s=0)
    with pytest.raises(ConnectionError):
        await reader.next()
    records = await reader.next()
    assert records is not None
    assert records.payloads == [b"a"]


async def test_a_range_ends_where_records_have_to_wait() -> None:
    log = Log()
    log.append(b"a", b"b", b"c")
    asked: list[tuple[int, int]] = []
    answers: list[int | None] = [2, 2, 2, None]

    async def fetch(partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        return replace(await log.fetch(partition, offset, max_bytes, wait_s), layout=7)

    async def hold(offset: int, layout: int) -> int | None:
        asked.append((offset, layout))
        return answers.pop(0)

    reader = PartitionReader(fetch, 0, 0, max_events=10, flush_interval_s=0, hold=hold)
    ranges = [await reader.next() for _ in range(4)]
    assert [one and one.payloads for one in ranges] == [[b"a", b"b"], None, None, [b"c"]]
    assert [one and one.caught_up for one in ranges] == [False, None, None, True]
    assert asked == [(0, 7), (2, 7), (2, 7), (2, 7)]


async def test_a_range_is_full_of_bytes_before_it_is_full_of_events() -> None:
    log = Log()
    for _ in range(30):
        log.append(*[b"x" * 30_000] * 20)  # 600 kB a frame, 18 MB in all
    reader = reader_of(log, max_events=5_000)

    ranges = []
    while (records := await reader.next()) is not None:
        ranges.append(records)

    assert [len(one.payloads) for one in ranges] == [280, 280, 40]
    assert [one.first_offset for one in ranges] == [0, 280, 560]
    assert ranges[-1].caught_up

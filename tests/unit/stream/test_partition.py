"""The asynchronous heart: groups what waits, bounds it, answers after durability, wakes its readers."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pistats.errors import OverloadedError
from pistats.settings import StreamSettings
from pistats.stream import frame
from pistats.stream.batch import Appended, Batch
from pistats.stream.file_log import FileLog
from pistats.stream.log import LogStoppedError
from pistats.stream.partition import StreamPartition
from pistats.stream.position import MalformedPositionError

Make = Callable[..., Batch]


class HeldLog(FileLog):
    """A log whose appends wait until they are let go."""

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        self.groups = [*getattr(self, "groups", []), len(batches)]
        self.entered.set()
        assert self.gate.wait(10)
        return super().append(batches)

    @classmethod
    def held(cls, directory: Path, settings: StreamSettings) -> "HeldLog":
        log = cls.open(directory, 0, settings)
        assert isinstance(log, HeldLog)
        log.gate, log.entered = threading.Event(), threading.Event()
        return log


async def test_what_waits_becomes_one_group(directory: Path, settings: StreamSettings, make_batch: Make):
    log = HeldLog.held(directory, settings)
    partition = StreamPartition(0, log, settings)
    first = asyncio.create_task(partition.append(make_batch(1, "a")))
    await asyncio.to_thread(log.entered.wait, 10)
    others = [asyncio.create_task(partition.append(make_batch(number, f"{number}"))) for number in range(2, 12)]
    await asyncio.sleep(0)
    assert not first.done()
    log.gate.set()
    answers = await asyncio.gather(first, *others)
    assert [answer.first_offset for answer in answers] == list(range(11))
    assert log.groups == [1, 10]
    await partition.close()


async def test_refuses_what_exceeds_the_bound(directory: Path, make_batch: Make):
    settings = StreamSettings(max_pending_bytes=1_000_000, disk_high_water=1.0)
    log = HeldLog.held(directory, settings)
    partition = StreamPartition(0, log, settings)
    waiting = [asyncio.create_task(partition.append(make_batch(n, f"{n}", body="x" * 300_000))) for n in range(1, 4)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="nothing was stored"):
        await partition.append(make_batch(9, "9", body="x" * 300_000))
    log.gate.set()
    await asyncio.gather(*waiting)
    assert partition.status().pending_bytes == 0
    assert (await partition.append(make_batch(9, "9"))).first_offset == 3
    await partition.close()


async def test_a_reader_at_the_end_is_woken(directory: Path, settings: StreamSettings, make_batch: Make):
    partition = StreamPartition(0, FileLog.open(directory, 0, settings), settings)
    readers = [asyncio.create_task(partition.fetch(0, 1_000, wait_s=30)) for _ in range(3)]
    await asyncio.sleep(0)
    await partition.append(make_batch(1, "a"))
    for fetched in await asyncio.gather(*readers):
        assert [record.key for record in frame.decode(fetched.frames[0])] == [b"s\x1fa"]
        assert (fetched.next_offset, fetched.end_offset) == (1, 1)
    await partition.close()


async def test_a_reader_at_the_end_gets_an_empty_answer(directory: Path, settings: StreamSettings):
    partition = StreamPartition(0, FileLog.open(directory, 0, settings), settings)
    fetched = await partition.fetch(0, 1_000, wait_s=0.01)
    assert (fetched.frames, fetched.next_offset, fetched.oldest_append_time) == ([], 0, None)
    await partition.close()


async def test_a_cancelled_caller_hurts_nobody(directory: Path, settings: StreamSettings, make_batch: Make):
    log = HeldLog.held(directory, settings)
    partition = StreamPartition(0, log, settings)
    gone = asyncio.create_task(partition.append(make_batch(1, "a")))
    stays = asyncio.create_task(partition.append(make_batch(2, "b")))
    await asyncio.sleep(0)
    gone.cancel()
    log.gate.set()
    assert (await stays).first_offset == 1
    assert (await partition.append(make_batch(1, "a"))).first_offset == 0
    await partition.close()


async def test_a_fenced_partition_stops(directory: Path, settings: StreamSettings, make_batch: Make):
    old = StreamPartition(0, FileLog.open(directory, 0, settings), settings)
    await old.append(make_batch(1, "a"))
    reader = asyncio.create_task(old.fetch(1, 1_000, wait_s=30))
    await asyncio.sleep(0)
    new = StreamPartition(0, FileLog.open(directory, 0, settings), settings)
    with pytest.raises(LogStoppedError, match="taken over"):
        await old.append(make_batch(2, "b"))
    assert old.stopped.is_set()
    assert old.status().state == "stopped"
    with pytest.raises(LogStoppedError):
        await reader
    assert (await new.append(make_batch(2, "b"))).first_offset == 1
    await old.close()
    await new.close()


async def test_positions_and_status(directory: Path, settings: StreamSettings, make_batch: Make):
    partition = StreamPartition(0, FileLog.open(directory, 0, settings), settings)
    await partition.append(make_batch(1, "a", "b", "b"))
    assert await partition.resolve("latest") == 2
    assert await partition.resolve("trim-horizon") == 0
    assert await partition.resolve("after:0") == 1
    with pytest.raises(MalformedPositionError):
        await partition.resolve("yesterday")
    status = partition.status()
    assert (status.appended, status.duplicates, status.end_offset, status.state) == (2, 1, 2, "open")
    await partition.close()
    with pytest.raises(LogStoppedError, match="closed"):
        await partition.append(make_batch(2, "c"))

"""A sealed partition stores nothing of an earlier layout, and still knows what it stored."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pistats.settings import StreamSettings
from pistats.stream.batch import Appended, Batch
from pistats.stream.file_log import FileLog
from pistats.stream.log import LogStoppedError
from pistats.stream.partition import StreamPartition

Make = Callable[..., Batch]


def opened(directory: Path, settings: StreamSettings, layout: int = 0) -> StreamPartition:
    return StreamPartition(0, FileLog.open(directory, 0, settings), settings, layout=layout)


async def test_what_is_stored_is_known_and_the_rest_is_moved(
    directory: Path, settings: StreamSettings, make_batch: Make
) -> None:
    partition = opened(directory, settings)
    await partition.append(make_batch(1, "a", "b"))

    assert await partition.seal(1) == 2
    answer = await partition.append(make_batch(2, "c", "a", "c"))

    assert (answer.duplicates, list(answer.moved)) == ([1], [0, 2])  # c twice: neither is durable anywhere
    assert await partition.seal(1) == 2
    assert partition.status().duplicates == 1
    stored = await partition.append(replace(make_batch(2, "c", "a", "c"), layout=1))
    assert (stored.first_offset, stored.duplicates, list(stored.moved)) == (2, [1, 2], [])
    await partition.close()


async def test_a_retry_of_a_stored_batch_gets_its_first_answer(
    directory: Path, settings: StreamSettings, make_batch: Make
) -> None:
    partition = opened(directory, settings)
    await partition.append(make_batch(1, "a"))
    first = await partition.append(make_batch(2, "b", "a", "c"))
    await partition.seal(1)

    assert await partition.append(make_batch(2, "b", "a", "c")) == first
    assert (first.duplicates, list(first.moved)) == ([1], [])
    await partition.close()

    again = opened(directory, settings, layout=1)
    retried = await again.append(make_batch(2, "b", "a", "c"))
    assert (retried.first_offset, retried.duplicates, list(retried.moved)) == (1, [1], [])
    assert list((await again.append(make_batch(3, "d"))).moved) == [0]
    await again.close()


async def test_what_was_queued_before_is_stored_before_the_seal_answers(
    directory: Path, settings: StreamSettings, make_batch: Make
) -> None:
    partition = opened(directory, settings)
    queued = [asyncio.create_task(partition.append(make_batch(number, f"{number}"))) for number in range(1, 9)]
    await asyncio.sleep(0)
    for task in queued[::2]:
        task.cancel()  # the caller gave up, the batch is stored

    ends = await asyncio.gather(partition.seal(1), partition.append(make_batch(8, "8")), partition.seal(1))

    assert (ends[0], ends[2]) == (8, 8)
    assert (ends[1].first_offset, list(ends[1].moved)) == (7, [])
    await partition.close()


async def test_a_seal_and_a_question_wait_behind_what_is_queued(
    directory: Path, settings: StreamSettings, make_batch: Make
) -> None:
    log = FileLog.open(directory, 0, settings)
    append, entered, gate = log.append, threading.Event(), threading.Event()

    def held(batches: Sequence[Batch]) -> list[Appended]:
        entered.set()
        assert gate.wait(10)
        return append(batches)

    log.append = held  # type: ignore[method-assign]
    partition = StreamPartition(0, log, settings)
    first = asyncio.create_task(partition.append(make_batch(1, "a")))
    await asyncio.to_thread(entered.wait, 10)
    second = asyncio.create_task(partition.append(make_batch(2, "b")))
    await asyncio.sleep(0)
    seal = asyncio.create_task(partition.seal(1))
    await asyncio.sleep(0)
    retry = asyncio.create_task(partition.append(make_batch(2, "b")))
    question = asyncio.create_task(partition.append(make_batch(3, "b", "c")))
    await asyncio.sleep(0.01)
    gate.set()

    assert await seal == 2
    assert await retry == await second
    assert ((await question).duplicates, list((await question).moved)) == ([0], [1])
    assert (await first).first_offset == 0
    await partition.close()


async def test_records_say_of_which_layout_they_can_be(
    directory: Path, settings: StreamSettings, make_batch: Make
) -> None:
    partition = opened(directory, settings)
    await partition.append(make_batch(1, "a"))
    assert (await partition.fetch(0, 1_000, 0)).layout == 0
    await partition.seal(1)
    await partition.append(replace(make_batch(2, "b"), layout=3))  # published meanwhile, and once more
    assert (await partition.fetch(1, 1_000, 0)).layout == 3
    assert list((await partition.append(replace(make_batch(3, "c"), layout=2))).moved) == [0]
    assert partition.status().layout == 3
    await partition.close()


async def test_an_old_writer_cannot_be_sealed_nor_asked(
    directory: Path, settings: StreamSettings, make_batch: Make
) -> None:
    old = opened(directory, settings)
    sealed = opened(directory, settings)
    with pytest.raises(LogStoppedError, match="taken over"):
        await old.seal(1)
    assert old.stopped.is_set()

    await sealed.seal(1)
    new = opened(directory, settings)
    await new.append(make_batch(1, "a"))
    with pytest.raises(LogStoppedError, match="taken over"):
        await sealed.append(make_batch(2, "a"))  # it would not know that "a" is stored
    for partition in (old, sealed, new):
        await partition.close()

"""MicroBatcher: what it sends, in which order, how often, and what it answers."""

import asyncio

import pytest

from pistats.errors import FencedError, OverloadedError, UnavailableError
from pistats.ingest.batcher import MicroBatcher
from pistats.ingest.retry import RetryPolicy
from pistats.settings import IngestSettings
from pistats.stream.batch import Appended, Batch


class Partition:
    """Records every append, and answers as scripted: an exception to raise, or the duplicates."""

    def __init__(self, *script: Exception | list[int]) -> None:
        self.script = list(script)
        self.appends: list[Batch] = []
        self.in_flight = self.most_in_flight = 0

    async def append(self, batch: Batch) -> Appended:
        self.appends.append(batch)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0.001)
        self.in_flight -= 1
        answer = self.script.pop(0) if self.script else []
        if isinstance(answer, Exception):
            raise answer
        return Appended(0, answer, 1)


def make_batcher(partition, **limits):
    return MicroBatcher(0, partition.append, IngestSettings(**limits), RetryPolicy(0.001, 0.004))


async def test_what_arrives_while_an_append_is_under_way_becomes_one_batch():
    partition = Partition()
    batcher = make_batcher(partition)

    first = batcher.submit([b"k0"], [b"p0"])
    await asyncio.sleep(0.0005)
    rest = [batcher.submit([b"k%d" % n], [b"p%d" % n]) for n in range(1, 20)]
    await asyncio.gather(first, *rest)

    assert [len(batch.keys) for batch in partition.appends] == [1, 19]
    assert [key for batch in partition.appends for key in batch.keys] == [b"k%d" % n for n in range(20)]
    assert partition.most_in_flight == 1
    assert batcher.pending_bytes == 0


async def test_a_batch_is_bounded_and_keeps_submissions_whole():
    partition = Partition()
    batcher = make_batcher(partition, batch_bytes=10_000)

    submitted = [batcher.submit([b"a", b"b"], [b"x" * 2_000] * 2) for _ in range(4)]
    submitted.append(batcher.submit([b"large"], [b"x" * 50_000]))
    await asyncio.gather(*submitted)

    assert [len(batch.keys) for batch in partition.appends] == [4, 4, 1]


async def test_a_retry_carries_the_same_batch_and_later_ones_wait_behind_it():
    partition = Partition(UnavailableError("gone"), UnavailableError("back soon"), FencedError("a newer epoch"))
    batcher = make_batcher(partition)

    first = batcher.submit([b"k0"], [b"p0"])
    await asyncio.sleep(0.0005)
    second = batcher.submit([b"k1"], [b"p1"])
    await asyncio.gather(first, second)

    assert partition.appends[0] == partition.appends[1] == partition.appends[2] == partition.appends[3]
    assert [batch.keys for batch in partition.appends[3:]] == [[b"k0"], [b"k1"]]
    assert partition.appends[4].batch_id != partition.appends[0].batch_id


async def test_a_full_partition_fails_the_batch_at_once_and_says_when_to_come_back():
    partition = Partition(OverloadedError("the disk is full", retry_after_s=10))
    batcher = make_batcher(partition)

    with pytest.raises(UnavailableError, match="no room") as failure:
        await batcher.submit([b"k0"], [b"p0"])

    assert failure.value.retry_after_s == 10
    assert len(partition.appends) == 1
    assert batcher.pending_bytes == 0


async def test_a_refusal_after_an_attempt_of_unknown_outcome_is_asked_again():
    partition = Partition(UnavailableError("no answer"), OverloadedError("the disk is full"), [])
    batcher = make_batcher(partition)

    assert list(await batcher.submit([b"k0"], [b"p0"])) == []

    assert partition.appends[0] == partition.appends[1] == partition.appends[2]


async def test_behind_a_write_that_takes_too_long_nobody_has_to_wait():
    partition = Partition(*[UnavailableError("slow")] * 100)
    batcher = make_batcher(partition, max_wait_s=0.001, append_timeout_s=0.2)
    slow = batcher.submit([b"k0"], [b"p0"])
    await asyncio.sleep(0.02)

    with pytest.raises(OverloadedError, match="busy with one write"):
        batcher.submit([b"k1"], [b"p1"])

    with pytest.raises(UnavailableError):
        await slow
    batcher.check_room(1)


async def test_each_submission_gets_its_own_duplicates():
    partition = Partition([1, 2, 5])
    batcher = make_batcher(partition)

    found = await asyncio.gather(
        batcher.submit([b"a", b"b"], [b"", b""]),
        batcher.submit([b"c"], [b""]),
        batcher.submit([b"d"], [b""]),
        batcher.submit([b"e", b"f"], [b"", b""]),
    )

    assert list(map(list, found)) == [[1], [0], [], [1]]


async def test_after_the_time_out_everyone_in_the_batch_is_told_and_the_next_goes_on():
    partition = Partition(*[UnavailableError("gone")] * 40)
    batcher = make_batcher(partition, append_timeout_s=0.03)

    failed = batcher.submit([b"k0"], [b"p0"])
    with pytest.raises(UnavailableError, match="Partition 0"):
        await failed
    partition.script.clear()

    assert list(await batcher.submit([b"k1"], [b"p1"])) == []
    assert batcher.pending_bytes == 0


async def test_what_waited_too_long_in_the_queue_is_never_appended():
    partition = Partition(*[UnavailableError("gone")] * 1_000)
    batcher = make_batcher(partition, append_timeout_s=0.05)
    first = batcher.submit([b"k0"], [b"p0"])
    await asyncio.sleep(0.001)
    second = batcher.submit([b"k1"], [b"p1"])
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    partition.script.clear()

    assert [type(outcome) for outcome in outcomes] == [UnavailableError, UnavailableError]
    await batcher.submit([b"k2"], [b"p2"])
    assert partition.appends[-1].keys == [b"k2"]


async def test_a_full_queue_refuses_before_anything_is_queued():
    partition = Partition()
    batcher = make_batcher(partition, max_pending_bytes=1_000_000)
    held = batcher.submit([b"k"], [b"x" * 900_000])

    with pytest.raises(OverloadedError):
        batcher.submit([b"k2"], [b"x" * 200_000])

    await held
    assert [batch.keys for batch in partition.appends] == [[b"k"]]
    assert list(await batcher.submit([b"k2"], [b"x" * 200_000])) == []


async def test_an_error_that_is_final_is_not_repeated():
    partition = Partition(ValueError("a bug"))
    batcher = make_batcher(partition)

    with pytest.raises(ValueError, match="a bug"):
        await batcher.submit([b"k"], [b"p"])

    assert len(partition.appends) == 1


async def test_closing_waits_for_what_is_queued_even_if_nobody_else_does():
    partition = Partition(UnavailableError("gone"))
    batcher = make_batcher(partition)
    batcher.submit([b"k"], [b"p"]).cancel()

    await batcher.close()

    assert len(partition.appends) == 2
    assert batcher.pending_bytes == 0

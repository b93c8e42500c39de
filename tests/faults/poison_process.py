"""A consumer that poison can end: `poison_process.py URI DATABASE FRAMES WORDS`.

A payload that contains `dies in enrich`, `loops in enrich`, `raises in enrich` or `dies in fold` does so. FRAMES is a
pickled list of (end offset, frame). It writes a line for every payload that it touches.
"""

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pistats.consumer import projection
from pistats.consumer.poison import Danger
from pistats.consumer.process import prepare_process
from pistats.consumer.transform import Outcome, Transform
from pistats.consumer.worker import PartitionConsumer
from pistats.enrich import EnrichContext, EnrichedEvent, enrich_batch
from pistats.mongo.client import connect
from pistats.settings import ConsumerSettings, LiveSettings
from pistats.stream.batch import Fetched

TIMEOUT_S = 1.0
CONTEXT = EnrichContext.standard()


def enrich(payloads: Sequence[bytes], partition: int, offsets: Sequence[int]) -> list[Outcome]:
    for payload, offset in zip(payloads, offsets, strict=True):
        if b" in " in payload:
            print(offset, flush=True)
        if b"dies in enrich" in payload:
            os.kill(os.getpid(), signal.SIGKILL)
        if b"raises in enrich" in payload:
            raise MemoryError("poison")
        while b"loops in enrich" in payload:
            sum(range(1_000_000_000))  # in C: no other Python thread gets a turn
    return enrich_batch(payloads, partition, offsets, CONTEXT)


class PoisonedBuckets(projection.LiveBuckets):
    def fold(self, events: Sequence[EnrichedEvent]) -> Any:
        if any("dies in fold" in event["url"] for event in events):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fold(events)


async def main(uri: str, database: str, frames_file: str, words: str) -> None:
    prepare_process()
    frames: list[tuple[int, bytes]] = pickle.loads(Path(frames_file).read_bytes())  # noqa: ASYNC240

    async def fetch(partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        waiting = [(end, frame) for end, frame in frames if end > offset]
        if not waiting:
            await asyncio.sleep(wait_s)
        return Fetched([frame for _, frame in waiting], frames[-1][0], frames[-1][0], 0)

    projection.LiveBuckets = PoisonedBuckets  # type: ignore[misc]
    async with connect(uri) as client:
        await PartitionConsumer(
            0,
            "a",
            fetch=fetch,
            database=client[database],
            consumers=ConsumerSettings(flush_interval_s=0.02, pause_before_retry_s=0.05),
            live=LiveSettings(),
            transform=Transform(enrich, danger=Danger(TIMEOUT_S, Path(words))),
        ).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))

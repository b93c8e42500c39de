"""A consumer in a process of its own, for tests that kill or pause it: `consumer_process.py URI DATABASE FRAMES OWNER`.

FRAMES is a pickled list of (end offset, frame). It runs until it is stopped by a signal.
"""

import asyncio
import pickle
import sys
from pathlib import Path

from pistats.consumer.transform import Transform
from pistats.consumer.worker import PartitionConsumer
from pistats.mongo.client import connect
from pistats.settings import ConsumerSettings, LiveSettings
from pistats.stream.batch import Fetched


async def main(uri: str, database: str, frames_file: str, owner: str, lease_s: float) -> None:
    frames: list[tuple[int, bytes]] = pickle.loads(Path(frames_file).read_bytes())  # noqa: ASYNC240

    async def fetch(partition: int, offset: int, max_bytes: int, wait_s: float) -> Fetched:
        for end, frame in frames:
            if end > offset:
                return Fetched([frame], end, frames[-1][0], 0)
        await asyncio.sleep(wait_s)
        return Fetched([], offset, offset, None)

    async with connect(uri) as client:
        await PartitionConsumer(
            0,
            owner,
            fetch=fetch,
            database=client[database],
            consumers=ConsumerSettings(max_batch_events=40, lease_s=lease_s, pause_before_retry_s=0.05),
            live=LiveSettings(),
            transform=Transform(),
            system=client[database],  # erasures of a test are beside its counts
        ).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5])))

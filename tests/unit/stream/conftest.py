"""What the stream's tests share: batches of made-up events and small settings."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pistats.settings import StreamSettings
from pistats.stream.batch import Batch


@pytest.fixture
def settings() -> StreamSettings:
    """Small segments, so that a few frames fill one."""
    return StreamSettings(segment_bytes=4_096, disk_high_water=1.0)


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """`make_batch(7, "a", "b")` has batch id 7 and the events a and b; `body=` changes what they say."""

    def make(number: int, *ids: str, body: str = "") -> Batch:
        payloads = [f'{{"site":"s","received_time":{number},"event_id":"{i}","name":"{body}"}}'.encode() for i in ids]
        return Batch(number.to_bytes(16), [b"s\x1f" + i.encode() for i in ids], payloads)

    return make


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "partition-0"

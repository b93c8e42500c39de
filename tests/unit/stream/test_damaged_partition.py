"""A partition whose log cannot be opened: it stays, takes nothing, and says why."""

import pytest

from pistats.errors import CorruptionError
from pistats.stream.batch import Batch
from pistats.stream.partition import DamagedPartition


async def test_every_call_says_what_is_wrong_and_what_to_do() -> None:
    damaged = DamagedPartition(3, "file", "segment 7 has a bad frame at byte 12")

    with pytest.raises(CorruptionError, match=r"bad frame at byte 12.*stream verify"):
        await damaged.append(Batch(bytes(16), [b"k"], [b"p"]))
    with pytest.raises(CorruptionError, match="partition 3 is damaged"):
        await damaged.fetch(0, 1, 0)

    status = damaged.status()
    assert (status.state, status.stopped_reason) == ("stopped", "segment 7 has a bad frame at byte 12")

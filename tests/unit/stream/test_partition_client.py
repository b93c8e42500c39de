"""Calls of a partition, without one: a future is all that Ray gives for an answer to come."""

import asyncio
from concurrent.futures import Future

import pytest

from actors.partition_client import PartitionClient


class Answer(Future[int]):
    """What a remote call returns."""

    def future(self) -> Future[int]:
        return self


async def test_a_ctrl_c_that_comes_together_with_an_answer_is_not_lost() -> None:
    answer = Answer()
    asking = asyncio.create_task(PartitionClient(0)._answer("status", answer, 60.0))
    await asyncio.sleep(0)
    answer.set_result(1)
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

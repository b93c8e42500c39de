"""A query is bounded in time, number and memory, and says what to do when it meets a bound."""

import asyncio
import threading
import time

import pytest

from pistats.errors import OverloadedError, QueryError, QueryTimeoutError
from pistats.warehouse.engine import Connection, QueryEngine
from tests.table_events import TableEvents, an_event, table_of

EVENTS = TableEvents(table_of([an_event(1, event_time=5), an_event(2, event_time=7)]))
ENDLESS = "SELECT count(*) FROM range(10_000_000_000) AS a, range(1_000_000) AS b"


async def test_the_answer_is_a_table() -> None:
    found = await QueryEngine().run(EVENTS, "SELECT event_id FROM events WHERE event_time > $after", {"after": 5})

    assert found.to_pylist() == [{"event_id": "e00002"}]


async def test_a_query_that_takes_too_long_is_stopped() -> None:
    engine = QueryEngine(timeout_s=0.3, concurrent=1)
    began = time.monotonic()

    with pytest.raises(QueryTimeoutError, match="fewer days"):
        await engine.run(EVENTS, ENDLESS)

    assert time.monotonic() - began < 5
    engine = QueryEngine(timeout_s=20, concurrent=1)
    assert (await engine.run(EVENTS, "SELECT 1 AS one")).to_pylist() == [{"one": 1}]


async def test_a_stopped_query_makes_room_for_the_next() -> None:
    engine = QueryEngine(timeout_s=2, concurrent=1)
    asking = asyncio.create_task(engine.run(EVENTS, ENDLESS))
    await asyncio.sleep(0.2)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert (await engine.run(EVENTS, "SELECT 1 AS one")).num_rows == 1


async def test_one_too_many_is_turned_away_at_once() -> None:
    engine = QueryEngine(concurrent=1, max_waiting=1)
    go_on = threading.Event()
    asking = [asyncio.create_task(engine.call(EVENTS, lambda _: go_on.wait(20))) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(OverloadedError):
        await engine.run(EVENTS, "SELECT 1")

    go_on.set()
    assert await asyncio.gather(*asking) == [True, True]


async def test_more_memory_than_there_is() -> None:
    engine = QueryEngine(memory_mb=64, concurrent=1, threads=1)

    with pytest.raises(QueryError, match="64 MB"):
        await engine.run(EVENTS, "SELECT list(a ORDER BY hash(a)) FROM range(50_000_000) AS t(a)")


async def test_query_threads_let_others_go_first() -> None:
    import os

    def niceness(_: Connection) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert await QueryEngine(niceness=7).call(EVENTS, niceness) == 7
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == 0

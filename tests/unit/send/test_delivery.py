"""Delivery against a server that fails as scripted: every failure that may pass is retried with the same bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pistats.send.client import delivery_to
from pistats.send.delivery import Delivery, RefusedError, Rejected, RetryPolicy, UndeliveredError, poster
from pistats.send.events_file import EventLine, read_lines
from pistats.send.sender import Sender

Answer = Callable[[web.Request, list[Any]], web.Response]
EVENTS = [b'{"event_id":"%d","name":"a"}' % n for n in range(4)]


def accept(request: web.Request, events: list[Any]) -> web.Response:
    return web.json_response({"accepted": len(events), "duplicates": 0, "rejected": []}, status=202)


def status(code: int, **headers: str) -> Answer:
    return lambda request, events: web.Response(status=code, headers=headers, text="why not")


def drop(request: web.Request, events: list[Any]) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


class Server:
    """Gives the scripted answers in turn, then accepts; keeps what it was sent."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.received: list[list[str]] = []
        self.keys: set[str | None] = set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        events = json.loads(await request.read())["events"]
        self.received.append([event["event_id"] for event in events])
        self.keys.add(request.headers.get("x-pistats-key"))
        return (self.script.pop(0) if self.script else accept)(request, events)


@pytest.fixture
async def server(serve: Callable[..., Awaitable[str]]) -> Server:
    server = Server()
    server.url = await serve(server.answer)
    return server


class Sleeps:
    """Takes no time, remembers how long it was asked to, and moves the clock by it."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, wait_s: float) -> None:
        self.waits.append(wait_s)
        await asyncio.sleep(0)

    def now(self) -> float:
        return sum(self.waits)


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
async def delivery(server: Server, sleeps: Sleeps) -> AsyncIterator[Delivery]:
    async with aiohttp.ClientSession() as session:
        post = poster(session, server.url, "KEY", timeout_s=0.3)
        yield Delivery(post, RetryPolicy(), sleep=sleeps, monotonic=sleeps.now, spread=lambda: 0.0)


async def test_an_accepted_batch_is_delivered_once(server: Server, delivery: Delivery) -> None:
    delivered = await delivery.deliver(EVENTS)
    assert (delivered.accepted, delivered.duplicates, delivered.rejected) == (4, 0, ())
    assert server.received == [["0", "1", "2", "3"]]
    assert server.keys == {"KEY"}


@pytest.mark.parametrize(
    "failure", [status(404), status(408), status(429), status(500), status(502), status(503), drop]
)
async def test_what_may_pass_is_asked_again_with_the_same_ids(
    server: Server, delivery: Delivery, failure: Answer
) -> None:
    server.script = [failure] * 3
    await delivery.deliver(EVENTS)
    assert server.received == [["0", "1", "2", "3"]] * 4
    assert delivery.counts.retried == 3


async def test_an_answer_that_does_not_come_is_asked_for_again(server: Server, delivery: Delivery) -> None:
    entered = asyncio.Event()
    original = server.answer

    async def slow(request: web.Request) -> web.Response:
        if not entered.is_set():
            entered.set()
            await asyncio.Event().wait()
        return await original(request)

    app = web.Application()
    app.router.add_post("/v1/events", slow)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        delivered = await Delivery(poster(session, url, "KEY", timeout_s=0.2), RetryPolicy(first_wait_s=0)).deliver(
            EVENTS
        )
    assert delivered.accepted == 4
    await runner.cleanup()


async def test_a_202_that_cannot_be_read_is_asked_again(server: Server, delivery: Delivery) -> None:
    server.script = [lambda request, events: web.Response(status=202, text="hello")]
    assert (await delivery.deliver(EVENTS)).accepted == 4


async def test_events_whose_partition_was_away_are_sent_again(server: Server, delivery: Delivery) -> None:
    # given an answer that stores 0, refuses 1 for good, and could not store 2 and 3
    def partly(request: web.Request, events: list[Any]) -> web.Response:
        reasons = {1: "name_missing", 2: "unavailable", 3: "unavailable"}
        rejected = [{"index": index, "reason": reason, "detail": ""} for index, reason in reasons.items()]
        return web.json_response({"accepted": 1, "duplicates": 0, "rejected": rejected}, status=202)

    def last_refused(request: web.Request, events: list[Any]) -> web.Response:
        rejected = [{"index": 1, "reason": "url_missing", "detail": ""}]
        return web.json_response({"accepted": 1, "duplicates": 0, "rejected": rejected}, status=202)

    server.script = [partly, last_refused]
    # when the batch is delivered
    delivered = await delivery.deliver(EVENTS)
    # then only those two were sent again, and every event is accounted for at its own index
    assert server.received == [["0", "1", "2", "3"], ["2", "3"]]
    assert (delivered.accepted, delivered.duplicates) == (2, 0)
    assert [(one.index, one.reason) for one in delivered.rejected] == [(1, "name_missing"), (3, "url_missing")]


async def test_waits_double_and_keep_to_retry_after(server: Server, delivery: Delivery, sleeps: Sleeps) -> None:
    server.script = [status(500), status(500), status(503, **{"retry-after": "7"}), status(500)]
    await delivery.deliver(EVENTS)
    assert sleeps.waits == [0.1, 0.2, 7.0, 0.8]


@pytest.mark.parametrize("code", [400, 401, 403])
async def test_a_refusal_is_not_asked_again(server: Server, delivery: Delivery, code: int) -> None:
    server.script = [status(code)]
    with pytest.raises(RefusedError, match=f"{code}: why not"):
        await delivery.deliver(EVENTS)
    assert len(server.received) == 1


async def test_it_gives_up_when_the_policy_says_so(server: Server, delivery: Delivery, sleeps: Sleeps) -> None:
    server.script = [status(503)] * 10_000
    with pytest.raises(UndeliveredError, match="HTTP 503"):
        await delivery.deliver(EVENTS)
    assert 890 <= sleeps.now() <= 900


async def test_a_batch_that_is_too_large_is_halved_and_indexes_stay(server: Server, delivery: Delivery) -> None:
    def bad_last(request: web.Request, events: list[Any]) -> web.Response:
        rejected = [{"index": len(events) - 1, "reason": "name_missing", "detail": "d"}]
        return web.json_response({"accepted": len(events) - 1, "duplicates": 0, "rejected": rejected}, status=202)

    server.script = [status(413), accept, status(413), accept, bad_last]
    delivered = await delivery.deliver(EVENTS)
    assert delivered.accepted == 3
    assert delivered.rejected == (Rejected(3, "name_missing", "d"),)
    assert server.received[1:] == [["0", "1"], ["2", "3"], ["2"], ["3"]]


async def test_one_event_that_is_too_large_is_rejected(server: Server, delivery: Delivery) -> None:
    server.script = [status(413)]
    delivered = await delivery.deliver(EVENTS[:1])
    assert [rejected.reason for rejected in delivered.rejected] == ["too_large"]


async def test_a_server_that_is_not_there_yet_is_waited_for(server: Server) -> None:
    policy = RetryPolicy(give_up_after_s=0.0)
    async with delivery_to("http://127.0.0.1:9", "KEY", policy, connections=1) as delivery:
        with pytest.raises(UndeliveredError, match="connection refused"):
            await delivery.deliver(EVENTS)


def lines(count: int) -> list[EventLine]:
    return [line for line in read_lines(b'{"name":"a"}\n' for _ in range(count)) if isinstance(line, EventLine)]


async def test_a_file_is_sent_whole_in_batches(server: Server, delivery: Delivery) -> None:
    server.script = [accept, status(503), drop]
    report = await Sender(delivery, batch_events=10).send(lines(95))
    assert (report.accepted, report.undelivered, report.complete) == (95, 0, True)
    assert len({event for batch in server.received for event in batch}) == 95
    assert max(len(batch) for batch in server.received) == 10


async def test_a_rejected_event_is_listed_by_its_line(server: Server, delivery: Delivery) -> None:
    rejected = [{"index": 1, "reason": "name_missing", "detail": "no name"}]
    server.script = [
        lambda request, events: web.json_response({"accepted": 2, "duplicates": 0, "rejected": rejected}, status=202)
    ]
    report = await Sender(delivery, batch_events=10).send(
        read_lines([b"bad\n", b'{"name":"a"}\n', b"{}\n", b'{"name":"b"}\n'])
    )
    assert [(line.number, line.reason.split(":")[0]) for line in report.listed] == [(1, "not JSON"), (3, "rejected")]
    assert not report.complete


async def test_an_unknown_key_stops_the_file(server: Server, delivery: Delivery) -> None:
    server.script = [status(401)] * 1000
    report = await Sender(delivery, batch_events=1).send(lines(500))
    assert report.refusal is not None
    assert "401" in report.refusal
    assert len(server.received) < 50
    assert not report.complete


async def test_the_rate_is_kept(server: Server, delivery: Delivery, sleeps: Sleeps) -> None:
    await Sender(delivery, batch_events=10, rate=5.0, sleep=sleeps, monotonic=lambda: 0.0).send(lines(40))
    assert sleeps.waits == [0.0, 2.0, 4.0, 6.0]

"""The load generator: what it calls acknowledged was answered 202, whatever happened before."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from aiohttp import web
from typer import Typer
from typer.testing import CliRunner

from pistats.cli.simulate import simulate
from pistats.send.delivery import Delivery, RetryPolicy
from pistats.simulate.load import Load, LoadReport

Post = Callable[[bytes], Awaitable[tuple[int, str | None, bytes]]]


def answer(accepted: int, rejected: list[int] | None = None, duplicates: int = 0) -> tuple[int, None, bytes]:
    items = [{"index": index, "reason": "name_missing", "detail": ""} for index in rejected or []]
    return 202, None, json.dumps({"accepted": accepted, "duplicates": duplicates, "rejected": items}).encode()


def ids_in(body: bytes) -> list[str]:
    return [event["event_id"] for event in json.loads(body)["events"]]


class Run:
    """One run of the load against `post`, without a network; `acked` in the order of the answers."""

    def __init__(self, post: Post, *, rate: float = 2_000, batch: int = 7, policy: RetryPolicy | None = None) -> None:
        self.acked: list[str] = []
        numbers = count()
        delivery = Delivery(post, policy or RetryPolicy(first_wait_s=0.001, longest_wait_s=0.002))
        self.load = Load(
            lambda: {"name": "a"},
            lambda: f"id-{next(numbers)}",
            delivery,
            rate=rate,
            batch_events=batch,
            requests=4,
            on_acknowledged=self.acked.extend,
        )

    async def go(self, seconds: float | None = 0.2, stop: asyncio.Event | None = None) -> LoadReport:
        return await self.load.run(seconds, stop or asyncio.Event())


async def test_it_sends_exactly_what_the_rate_and_the_time_ask_for() -> None:
    sizes: list[int] = []

    async def post(body: bytes) -> tuple[int, str | None, bytes]:
        sizes.append(len(ids_in(body)))
        return answer(sizes[-1])

    run = Run(post)
    report = await run.go(0.2)
    assert report.sent == report.acknowledged == report.accepted == sum(sizes) == 400
    assert report.complete
    assert set(sizes) <= {7, 1}
    assert run.acked == [f"id-{n}" for n in range(400)]
    assert report.latency_ms(0.5) is not None


async def test_every_event_is_acknowledged_across_failures_with_its_first_id() -> None:
    stored: Counter[str] = Counter()
    calls = count()

    async def post(body: bytes) -> tuple[int, str | None, bytes]:
        match next(calls) % 5:
            case 0:
                raise ConnectionRefusedError
            case 1:
                stored.update(ids_in(body))  # stored, but the answer is lost
                raise TimeoutError
            case 2:
                return 503, "0", b""
        stored.update(ids_in(body))
        return answer(len(ids_in(body)))

    run = Run(post)
    report = await run.go()
    assert report.complete
    assert set(run.acked) == set(stored) == {f"id-{n}" for n in range(400)}
    assert len(run.acked) == 400


async def test_a_rejected_event_is_not_acknowledged() -> None:
    async def post(body: bytes) -> tuple[int, str | None, bytes]:
        return answer(len(ids_in(body)) - 1, rejected=[0])

    run = Run(post, batch=10)
    report = await run.go()
    assert report.rejected == 40
    assert len(run.acked) == 360
    assert not report.complete
    assert "id-0" not in run.acked


async def test_what_is_given_up_is_counted_and_not_acknowledged() -> None:
    async def post(body: bytes) -> tuple[int, str | None, bytes]:
        return 500, None, b""

    run = Run(post, policy=RetryPolicy(give_up_after_s=0))
    report = await run.go()
    assert (report.undelivered, run.acked, report.complete) == (400, [], False)


async def test_an_unknown_key_ends_the_run() -> None:
    async def post(body: bytes) -> tuple[int, str | None, bytes]:
        return 401, None, b'{"title": "Unknown key", "detail": "Ask for one."}'

    report = await Run(post).go(None)
    assert report.refusal == "HTTP 401: Unknown key: Ask for one."


async def test_a_stop_ends_a_run_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pistats.simulate.load.INTERRUPT_GRACE_S", 0.05)
    stop = asyncio.Event()

    async def post(body: bytes) -> tuple[int, str | None, bytes]:
        stop.set()
        await asyncio.Event().wait()
        raise AssertionError

    report = await Run(post).go(None, stop)
    assert report.sent == report.undelivered > 0


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[str]]]:
    """A real endpoint in a thread of its own, which fails every other request."""
    import threading

    received: list[str] = []
    calls = count()
    started, loop = threading.Event(), asyncio.new_event_loop()
    address: list[str] = []

    async def events(request: web.Request) -> web.Response:
        body = await request.read()
        if next(calls) % 2:
            return web.Response(status=503, headers={"retry-after": "0"})
        received.extend(ids_in(body))
        return web.Response(status=202, body=answer(len(ids_in(body)))[2])

    async def start() -> None:
        app = web.Application()
        app.router.add_post("/v1/events", events)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        started.set()

    def serve() -> None:
        loop.run_until_complete(start())
        loop.run_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    started.wait(10)
    yield address[0], received
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_the_command_writes_every_acknowledged_id(endpoint: tuple[str, list[str]], tmp_path: Path) -> None:
    url, received = endpoint
    app = Typer()
    app.command()(simulate)
    acked = tmp_path / "acked.txt"
    arguments = [
        "--key",
        "K",
        "--url",
        url,
        "--rate",
        "400",
        "--seconds",
        "0.5",
        "--batch",
        "20",
        "--acked",
        str(acked),
    ]
    result = CliRunner().invoke(app, [*arguments, "--seed", "3", "--quiet"])
    assert result.exit_code == 0, result.output
    assert sorted(acked.read_text().split()) == sorted(received)
    assert len(received) == 200
    assert "sent 200 · acknowledged 200 · accepted 200" in result.output

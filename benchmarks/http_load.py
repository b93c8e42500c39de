"""HTTP/1.1 load on the ingest endpoint over plain sockets: some 20,000 requests/s of a core; aiohttp ends at 2,600.

    python -m benchmarks.http_load --port 8000 --key KEY --connections 32 --seconds 10
    python -m benchmarks.http_load --port 8000 --key KEY --connections 64 --seconds 30 --rate 600
    python -m benchmarks.http_load --port 8000 --key KEY --connections 8 --batch 50 --events 300000

Closed loop: each connection sends its next request when the last one is answered. Open loop (`--rate`): requests are
due as a Poisson process whatever the server does, and time counts from when a request was due. Every answer has to be
202 with everything accepted and nothing else; one that isn't is counted under `errors` and not as a request.
Prints one JSON object.

A server may close a connection between two requests: with an answer, or when it was idle for long. A request that
crosses with that is lost, so every HTTP client sends one again, on a new connection, that went out on a used connection
and was not answered by a single byte. This one does, too, and counts it under `resent`; `had_already` are those that
the server knew. Nothing is stored twice, because each event has its id.
"""

import argparse
import asyncio
import os
import random
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop

from pistats.simulate.traffic import Traffic

VISITORS = 20_000
TEMPLATES = 5_000
"""Events made beforehand; each request copies one under an id of its own, because making one takes 90 µs."""
GRACE_S = 35.0
"""How long the last answers are waited for: the system itself gives up after 30 s."""


ANSWER = b'{"accepted":%d,"duplicates":%d,"rejected":[]}'


@dataclass(frozen=True, slots=True)
class Request:
    """Bytes to send, and what is remembered of them."""

    content: bytes
    visitor_id: str
    events: int
    resent: bool = False


Due = tuple[Request, int]
"""A request, and when it was due, in nanoseconds of the monotonic clock."""


@dataclass(slots=True)
class LoadResult:
    """What the requests came to. Latencies are of accepted requests only."""

    requests: int = 0
    events: int = 0
    seconds: float = 0.0
    """From the first request to the last answer."""
    first_sent_ns: int = 0
    """Of the machine's monotonic clock, so that other processes can relate to it."""
    errors: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    acknowledged: list[tuple[int, str]] = field(default_factory=list)
    """Monotonic time of the answer and visitor id, per request; only on demand."""
    cpu_s: float = 0.0
    most_connections: int = 0
    resent: int = 0
    had_already: int = 0
    """Of those that were sent again: the server had stored them before the connection was lost."""

    def summary(self) -> dict[str, Any]:
        """Everything but the single requests."""
        ordered = sorted(self.latencies_ms)
        return {
            "requests": self.requests,
            "events": self.events,
            "seconds": self.seconds,
            "first_sent_ns": self.first_sent_ns,
            "errors": dict(self.errors),
            "cpu_s": self.cpu_s,
            "most_connections": self.most_connections,
            "resent": self.resent,
            "had_already": self.had_already,
            "requests_per_s": round(self.requests / self.seconds, 1) if self.seconds else 0.0,
            "events_per_s": round(self.events / self.seconds, 1) if self.seconds else 0.0,
            **{name: _quantile(ordered, share) for name, share in QUANTILES.items()},
        }


QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "p999_ms": 0.999, "max_ms": 1.0}


def _quantile(ordered: list[float], share: float) -> float:
    if not ordered:
        return 0.0
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self.request: Request | None = None
        self.due_ns = 0
        self.used = False
        """Whether it has carried an answer already."""
        self.ends = False
        """Whether the server has said that it takes no more requests here."""

    @property
    def may_resend(self) -> bool:
        """Whether its request, were the connection lost now, can be sent again."""
        return self.used and not self._received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, with the same methods

    def send(self, request: Request, due_ns: int) -> None:
        """Send one request; the answer goes to the load."""
        assert self._transport is not None
        self.request, self.due_ns = request, due_ns
        self._transport.write(request.content)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self.request is None:  # the server takes leave of a connection that was idle for long
            return
        received = self._received + data if self._received else data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            self._received = received
            return
        headers = received[:head].lower()
        end = head + 4 + _content_length(headers)
        if len(received) < end:
            self._received = received
            return
        self._received = received[end:]
        self.used, self.ends = True, b"\r\nconnection: close" in headers
        self._load.answered(self, received[9:12], received[head + 4 : end])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._load.lost(self)


def _content_length(headers: bytes) -> int:
    at = headers.find(b"content-length:")
    return int(headers[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0


class Load:
    """One run. `rate` None: closed loop. Ends after `seconds`, or when `requests` were sent."""

    def __init__(
        self,
        port: int,
        requests: Iterator[Request],
        *,
        connections: int,
        seconds: float | None = None,
        rate: float | None = None,
        note_acknowledged: bool = False,
    ) -> None:
        self._port = port
        self._requests = requests
        self._connections = connections
        self._seconds = seconds
        self._rate = rate
        self._note = note_acknowledged
        self._open: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._waiting: deque[Due] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._end_ns = 0
        self._in_flight = 0
        self._resending = 0
        """Lost requests whose new connection is not there yet."""
        self._exhausted = False
        self._done = asyncio.Event()
        self.result = LoadResult()

    async def run(self) -> LoadResult:
        """Open the connections, send, and wait for the last answer."""
        await asyncio.gather(*(self._connect() for _ in range(self._connections)))
        cpu, start = time.process_time(), time.monotonic_ns()
        self.result.first_sent_ns = start
        self._end_ns = start + int(1e9 * self._seconds) if self._seconds else 2**63
        if self._rate is None:
            connections = list(self._idle)
            self._idle.clear()
            for connection in connections:
                self._next(connection)
        else:
            await self._arrive(start)
            self._exhausted = True
        self._settle()
        try:
            async with asyncio.timeout((self._seconds or 3_600) + GRACE_S):
                await self._done.wait()
        except TimeoutError:
            self.result.errors["no answer"] += self._in_flight + self._resending + len(self._waiting)
        self.result.cpu_s = round(time.process_time() - cpu, 2)
        for connection in list(self._open):
            connection.close()
        return self.result

    def answered(self, connection: Connection, status: bytes, body: bytes) -> None:
        """Note an answer, and give the connection its next request."""
        now, request = time.monotonic_ns(), connection.request
        assert request is not None, "an answer without a request"
        connection.request = None
        self._in_flight -= 1
        had_already = request.resent and body == ANSWER % (0, request.events)
        if status == b"202" and (had_already or body == ANSWER % (request.events, 0)):
            result = self.result
            result.had_already += had_already
            result.requests += 1
            result.events += request.events
            result.seconds = (now - result.first_sent_ns) / 1e9
            result.latencies_ms.append((now - connection.due_ns) / 1e6)
            if self._note:
                result.acknowledged.append((now, request.visitor_id))
        else:
            self.result.errors[f"{status.decode()} {body[:200].decode(errors='replace')}"] += 1
        if connection.ends:
            self._leave(connection)
        else:
            self._next(connection)

    def lost(self, connection: Connection) -> None:
        """The server closed it: an error if it owed an answer, unless the request can be sent again."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.request is not None:
            self._in_flight -= 1
            if connection.may_resend:
                self.result.resent += 1
                self._open_another((replace(connection.request, resent=True), connection.due_ns))
            else:
                self.result.errors["connection lost"] += 1
                self._replace()
        self._settle()

    def _leave(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()
        self._replace()
        self._settle()

    def _replace(self) -> None:
        if self._waiting or (self._rate is None and not self._over()):
            self._open_another()

    def _next(self, connection: Connection) -> None:
        if self._waiting:
            self._send(connection, *self._waiting.popleft())
        elif self._rate is None and not self._over() and (request := next(self._requests, None)) is not None:
            self._send(connection, request, time.monotonic_ns())
        else:
            if self._rate is None:
                self._exhausted = True
            self._idle.append(connection)
            self._settle()

    def _send(self, connection: Connection, request: Request, due_ns: int) -> None:
        self._in_flight += 1
        connection.send(request, due_ns)

    def _over(self) -> bool:
        return self._exhausted or time.monotonic_ns() >= self._end_ns

    def _settle(self) -> None:
        if self._exhausted and self._in_flight == self._resending == 0 and not self._waiting:
            self._done.set()

    async def _connect(self, first: Due | None = None) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port)
        self._open.add(connection)
        self.result.most_connections = max(self.result.most_connections, len(self._open))
        if first is not None:
            self._send(connection, *first)
        elif self.result.first_sent_ns:
            self._next(connection)
        else:
            self._idle.append(connection)

    def _open_another(self, first: Due | None = None) -> None:
        """In the background; `first` is what it carries then."""
        self._resending += first is not None
        task = asyncio.get_running_loop().create_task(self._open_for(first))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_for(self, first: Due | None) -> None:
        try:
            await self._connect(first)
        except OSError as error:
            if first is not None or self._waiting:
                self.result.errors[type(error).__name__] += 1
            if first is None and self._waiting:
                self._waiting.popleft()
        self._resending -= first is not None
        self._settle()

    async def _arrive(self, start_ns: int) -> None:
        """Open loop: requests in Poisson time. One that finds no idle connection opens another, as browsers do."""
        assert self._rate is not None
        due_ns = float(start_ns)
        while True:
            due_ns += 1e9 * random.expovariate(self._rate)
            if due_ns >= self._end_ns:
                break
            if (wait_ns := due_ns - time.monotonic_ns()) > 0:
                await asyncio.sleep(wait_ns / 1e9)
            if (request := next(self._requests, None)) is None:
                self._end_ns = time.monotonic_ns()
                break
            if self._idle:
                # A timer may ring half a millisecond early: a request is never younger than its bytes.
                self._send(self._idle.pop(), request, min(int(due_ns), time.monotonic_ns()))
            else:
                self._waiting.append((request, int(due_ns)))
                if len(self._open) + len(self._opening) < 1_000:
                    self._open_another()
        if (left_ns := self._end_ns - time.monotonic_ns()) > 0:
            await asyncio.sleep(left_ns / 1e9 + 0.002)


def requests_of(key: str, path: str, batch: int, events: int | None, seed: int) -> Iterator[Request]:
    """Requests of `batch` events each, without an end or up to `events`. No two events share an id."""
    traffic = Traffic(random.Random(seed), rate=1_000, visitors=VISITORS, site_url="https://news.example")
    made = [traffic.next_event() for _ in range(TEMPLATES)]
    templates = [(orjson.dumps(event)[1:], str(event["visitor_id"])) for event in made]
    prefix = b'{"event_id":"%s' % os.urandom(8).hex().encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-pistats-key: {key}\r\n"
        "content-type: application/json\r\ncontent-length: "
    ).encode()
    for sent in count(0, batch):
        left = batch if events is None else min(batch, events - sent)
        if left <= 0:
            return
        chosen = [templates[(sent + index) % TEMPLATES] for index in range(left)]
        parts = [b'%s%016x",%s' % (prefix, sent + index, rest) for index, (rest, _) in enumerate(chosen)]
        body = parts[0] if batch == 1 else b"[" + b",".join(parts) + b"]"
        yield Request(head + b"%d\r\n\r\n" % len(body) + body, chosen[0][1], left)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/v1/events")
    parser.add_argument("--key", default="none", help="the site's write key")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--events", type=int, help="stop after so many instead")
    parser.add_argument("--batch", type=int, default=1, help="events in each request")
    parser.add_argument("--rate", type=float, help="open loop, requests a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--acknowledged", type=Path, help="write the time and visitor of each answer here, as NDJSON")
    chosen = parser.parse_args()
    if chosen.seconds is None and chosen.events is None:
        parser.error("say how long: --seconds or --events")

    async def run() -> LoadResult:
        load = Load(
            chosen.port,
            requests_of(chosen.key, chosen.path, chosen.batch, chosen.events, chosen.seed),
            connections=chosen.connections,
            seconds=chosen.seconds,
            rate=chosen.rate,
            note_acknowledged=chosen.acknowledged is not None,
        )
        return await load.run()

    result = uvloop.run(run())
    if chosen.acknowledged is not None:
        chosen.acknowledged.write_bytes(b"".join(orjson.dumps(entry) + b"\n" for entry in result.acknowledged))
    print(orjson.dumps(result.summary()).decode())


if __name__ == "__main__":
    main()

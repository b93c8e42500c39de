"""One way to hand events to the ingest endpoint: the same event ids, until they are answered for good."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from pistats.clock import Clock, now_ms
from pistats.errors import FinalError, PistatsError

REQUEST_TIMEOUT_S = 45.0
"""The server holds a request for up to 30 s while a partition restarts; what takes longer is asked again."""

UNAVAILABLE = "unavailable"
"""The one reason for which nothing is wrong with the event: its partition was away while others stored theirs."""

FINAL_STATUS = frozenset({400, 401, 403})
"""Asking again gives the same answer. Not 404: a server that is still starting says so for its routes."""


class UndeliveredError(PistatsError):
    """The endpoint did not take the events for as long as the policy allows."""


class RefusedError(FinalError):
    """The endpoint refuses these events, and will again."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits double from the first to the longest, spread by half, so that many senders do not come back together."""

    first_wait_s: float = 0.2
    longest_wait_s: float = 5.0
    give_up_after_s: float = 900.0

    def wait_s(self, failures: int, retry_after_s: float | None, spread: float) -> float:
        """Seconds before the next try after `failures` ≥ 1; never less than the server asks for. `spread` in [0, 1)."""
        doubled = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(failures - 1, 32))
        return max(doubled * (0.5 + spread / 2), retry_after_s or 0.0)


@dataclass(frozen=True, slots=True)
class Rejected:
    """One event of the batch that the server will never take: its index, and why."""

    index: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server answered 202: all but the rejected events are durable. `duplicates` were durable before."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejected, ...] = ()


@dataclass(slots=True)
class DeliveryCounts:
    """What happened so far, for the last line and the progress bar."""

    requests: int = 0
    retried: int = 0
    last_problem: str | None = None
    problems: dict[str, int] = field(default_factory=dict)

    def note(self, problem: str) -> None:
        self.retried += 1
        self.last_problem = problem
        self.problems[problem] = self.problems.get(problem, 0) + 1


@dataclass(frozen=True, slots=True)
class _TryAgain:
    problem: str
    retry_after_s: float | None = None


Post = Callable[[bytes], Awaitable[tuple[int, str | None, bytes]]]
"""Body to (status, `Retry-After`, answer). Raises `OSError`, `TimeoutError` or `aiohttp.ClientError`."""


class Delivery:
    """Delivers a batch at least once; by the events' ids the server stores it once. For many tasks at once."""

    def __init__(
        self,
        post: Post,
        policy: RetryPolicy,
        *,
        clock: Clock = now_ms,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._post, self._policy = post, policy
        self._clock, self._monotonic, self._sleep, self._spread = clock, monotonic, sleep, spread
        self.counts = DeliveryCounts()

    async def deliver(self, events: Sequence[bytes]) -> Delivered:
        """The server's answer for `events` (JSON objects). A batch that is too large is halved, and of a batch that was
        stored in part the rest is sent again.

        Raises UndeliveredError after `give_up_after_s`, RefusedError when asking again is useless. May be called again
        with the same events.
        """
        deadline = self._monotonic() + self._policy.give_up_after_s
        failures = 0
        while True:
            answer = await self._ask(events)
            if isinstance(answer, Delivered):
                return await self._deliver_rest(events, answer)
            if isinstance(answer, _TooLarge):
                return await self._halve(events)
            failures += 1
            self.counts.note(answer.problem)
            wait_s = self._policy.wait_s(failures, answer.retry_after_s, self._spread())
            if self._monotonic() + wait_s > deadline:
                raise UndeliveredError(f"{len(events)} events not delivered in {failures} tries: {answer.problem}")
            await self._sleep(wait_s)

    async def _deliver_rest(self, events: Sequence[bytes], answer: Delivered) -> Delivered:
        waiting = [one.index for one in answer.rejected if one.reason == UNAVAILABLE]
        if len(waiting) in (0, len(events)):  # nothing of a whole batch was stored: that is for a 503 to say
            return answer
        self.counts.note("a partition was unavailable")
        await self._sleep(self._policy.wait_s(1, None, self._spread()))
        rest = await self.deliver([events[index] for index in waiting])
        final = [one for one in answer.rejected if one.reason != UNAVAILABLE]
        final += (Rejected(waiting[one.index], one.reason, one.detail) for one in rest.rejected)
        final.sort(key=lambda one: one.index)
        return Delivered(answer.accepted + rest.accepted, answer.duplicates + rest.duplicates, tuple(final))

    async def _ask(self, events: Sequence[bytes]) -> "Delivered | _TooLarge | _TryAgain":
        self.counts.requests += 1
        try:
            status, retry_after, body = await self._post(envelope(events, self._clock()))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return _TryAgain(_problem(error))
        if status == 202:
            return _read_answer(body)
        if status == 413:
            return _TooLarge()
        if status in FINAL_STATUS:
            raise RefusedError(f"HTTP {status}: {_detail(body)}")
        return _TryAgain(f"HTTP {status}", _seconds(retry_after))

    async def _halve(self, events: Sequence[bytes]) -> Delivered:
        if len(events) == 1:
            return Delivered(0, 0, (Rejected(0, "too_large", "HTTP 413 for this event alone"),))
        middle = len(events) // 2
        first, second = await self.deliver(events[:middle]), await self.deliver(events[middle:])
        moved = tuple(Rejected(r.index + middle, r.reason, r.detail) for r in second.rejected)
        return Delivered(first.accepted + second.accepted, first.duplicates + second.duplicates, first.rejected + moved)


@dataclass(frozen=True, slots=True)
class _TooLarge:
    """HTTP 413."""


def envelope(events: Sequence[bytes], sent_at: int) -> bytes:
    """The request body: `{"sent_at": …, "events": […]}`."""
    return b'{"sent_at":%d,"events":[%b]}' % (sent_at, b",".join(events))


def poster(session: aiohttp.ClientSession, url: str, key: str, timeout_s: float = REQUEST_TIMEOUT_S) -> Post:
    """Posts to `url`/v1/events over the session's connections."""
    endpoint = url.rstrip("/") + "/v1/events"
    headers = {"x-pistats-key": key, "content-type": "application/json"}
    timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def post(body: bytes) -> tuple[int, str | None, bytes]:
        async with session.post(endpoint, data=body, headers=headers, timeout=timeout) as answer:
            return answer.status, answer.headers.get("retry-after"), await answer.read()

    return post


def _read_answer(body: bytes) -> Delivered | _TryAgain:
    """A 202 that cannot be read proves nothing; asking again is safe."""
    try:
        answer: dict[str, Any] = orjson.loads(body)
        rejected = tuple(
            Rejected(int(item["index"]), str(item["reason"]), str(item.get("detail", "")))
            for item in answer["rejected"]
        )
        return Delivered(int(answer["accepted"]), int(answer["duplicates"]), rejected)
    except (ValueError, KeyError, TypeError, AttributeError):
        return _TryAgain("202 with an answer that is not piStats'")


def _problem(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "connection refused"
    return "connection lost" if isinstance(error, aiohttp.ClientConnectionError | OSError) else type(error).__name__


def _detail(body: bytes) -> str:
    """What the problem document says, else the start of the answer."""
    try:
        document = orjson.loads(body)
        return f"{document['title']}: {document['detail']}"
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace").strip() or "no explanation"


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in seconds; its date form is not used by piStats and counts as absent."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None

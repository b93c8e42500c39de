"""Answers of reports, asked all at once, shared between viewers and remembered for a few seconds."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

from pistats.clock import Clock, now_ms

T = TypeVar("T")

FRESH_MS = 10_000
"""How old an answer may be: each one says through when it is complete, and a page asks for the same several times."""

KEEP_TIMES = 10
"""An answer that took long is kept this many times as long: asking again takes at most a tenth of the machine."""

MAX_ANSWERS = 200
"""A page has six; an answer has some 50 kB."""


class Answers:
    """`get` gives the answer of a question; the same question at the same time is asked once. One event loop."""

    def __init__(self, clock: Clock = now_ms, fresh_ms: int = FRESH_MS) -> None:
        self._clock = clock
        self._fresh_ms = fresh_ms
        self._asked: dict[Hashable, tuple[int, asyncio.Task[Any]]] = {}
        self._took_ms: dict[Hashable, int] = {}

    async def get(
        self, question: Hashable, ask: Callable[[], Coroutine[Any, Any, T]], fresh_ms: int | None = None
    ) -> T:
        """What `ask` gives, or gave less than `fresh_ms` ago; 0: now. An error goes to all who wait, then away."""
        now = self._clock()
        keep = self._fresh_ms if fresh_ms is None else fresh_ms
        if keep:
            keep = max(keep, KEEP_TIMES * self._took_ms.get(question, 0))
        known = self._asked.get(question)
        if known is None or (now - known[0] >= keep and known[1].done()):
            known = (now, asyncio.create_task(ask()))
            self._remember(question, known)
        # Shielded: one viewer who leaves does not take the answer away from the others.
        answer: T = await asyncio.shield(known[1])
        return answer

    def forget(self) -> None:
        """Ask everything anew: what was answered may name somebody who was erased just now."""
        self._asked.clear()
        self._took_ms.clear()

    def _remember(self, question: Hashable, asked: tuple[int, asyncio.Task[Any]]) -> None:
        self._asked.pop(question, None)
        self._asked[question] = asked
        while len(self._asked) > MAX_ANSWERS:
            oldest = next(iter(self._asked))
            del self._asked[oldest]
            self._took_ms.pop(oldest, None)
        asked[1].add_done_callback(lambda task: self._answered(question, asked[0], task))

    def _answered(self, question: Hashable, since: int, task: asyncio.Task[Any]) -> None:
        known = self._asked.get(question)
        if known is None or known[1] is not task:
            return
        self._took_ms[question] = self._clock() - since
        if task.cancelled() or task.exception() is not None:
            del self._asked[question]


async def together(*asked: Coroutine[Any, Any, T]) -> list[T | BaseException]:
    """All answers, in order; one that failed is the error, so that it does not take the others with it."""
    return list(await asyncio.gather(*asked, return_exceptions=True))

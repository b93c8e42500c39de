"""How far a job is: recorded once a second by a thread of its own, so that work which blocks stays visible."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from pistats.clock import Clock, now_ms
from pistats.mongo.client import Document

RECORD_INTERVAL_S = 1.0
"""Between two looks at what changed."""
ALIVE_INTERVAL_S = 15.0
"""A job without news says at least this often that it lives; `runs.SILENT_MS` is eight times as long."""
PRINT_INTERVAL_S = 5.0
"""Between two lines in the job's log about the same step."""

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """What a job tells about itself. Safe to call from any thread."""

    step: str = ""
    done: int = 0
    total: int | None = None
    say: Callable[[str], None] = lambda _: None
    _printed: float = field(default=0.0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def begin(self, step: str, total: int | None = None) -> None:
        """The next step, of `total` pieces if that is known."""
        with self._lock:
            self.step, self.done, self.total = step, 0, total
        self.say(step)
        self._printed = time.monotonic()

    def advance(self, pieces: int = 1) -> None:
        """`pieces` more are done."""
        with self._lock:
            self.done += pieces
        now = time.monotonic()
        if now - self._printed >= PRINT_INTERVAL_S or self.done == self.total:
            self._printed = now
            self.say(self.line())

    def track(self, pieces: Iterable[T], step: str, total: int | None = None) -> Iterator[T]:
        """Go through the pieces of one step."""
        self.begin(step, total)
        for piece in pieces:
            yield piece
            self.advance()

    def line(self) -> str:
        """The step and how far it is, for people."""
        of_total = f" of {self.total:,}" if self.total is not None else ""
        return f"{self.step}: {self.done:,}{of_total}"

    def document(self) -> Document:
        """As it is recorded."""
        with self._lock:
            return {"step": self.step, "done": self.done, "total": self.total}


class Recorder:
    """Writes a run's progress, and that it lives, into its document until the block ends."""

    def __init__(self, progress: Progress, runs: Collection[Document], run_id: str, clock: Clock = now_ms) -> None:
        self._progress = progress
        self._runs = runs
        self._run_id = run_id
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._record_until_ended, name="job-progress", daemon=True)

    def __enter__(self) -> "Recorder":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(RECORD_INTERVAL_S)

    def _record_until_ended(self) -> None:
        last, written = None, 0.0
        while not self._ended.wait(RECORD_INTERVAL_S):
            news = self._progress.document()
            if news == last and time.monotonic() - written < ALIVE_INTERVAL_S:
                continue
            try:
                self._runs.update_one(
                    {"_id": self._run_id, "state": "running"},
                    {"$set": {"progress": news, "updated_time": self._clock()}},
                )
                last, written = news, time.monotonic()
            except PyMongoError as error:
                log.warning("the progress cannot be recorded now: %s", error)

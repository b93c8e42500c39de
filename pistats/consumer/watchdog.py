"""Ends the process when a step doesn't end, and leaves where it was. A starved machine alone ends nothing.

A step that computes without end is found by the processor time of the process: the kernel's timer, which also ends a
step in C that lets no other thread run. A step that waits without end uses none: a thread looks ten times within the
timeout, and ends the process when all looks in a row find that the step's thread has had no processor at all. On a
starved machine the looks are late as well, and between ten of them a step that wants to go on has had its turn.
"""

import faulthandler
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

LOOKS = 10
"""In a row, at a thread that stands still, before it is believed to wait for ever."""
STUCK_EXIT = 70
"""Exit code (EX_SOFTWARE) after a step that waited for ever; one that computed for ever ends by SIGPROF."""

UsedNs = Callable[[int], int]
"""(a thread's clock) -> the processor time that it has used, ns."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a thread is at. `clock`: of the thread's processor time."""

    number: int
    clock: int


class Stillness:
    """Tells a thread that waits from one that is only slow: by its own processor time, never by how long it takes."""

    def __init__(self, used_ns: UsedNs = time.clock_gettime_ns) -> None:
        self._used_ns = used_ns
        self._last: tuple[Step, int] | None = None
        self._still = 0

    def look(self, step: Step | None) -> bool:
        """Whether this is the tenth look in a row that found the same step where it was."""
        seen = None if step is None else (step, self._used_ns(step.clock))
        self._still = self._still + 1 if seen is not None and seen == self._last else 0
        self._last = seen
        return self._still >= LOOKS


class Watchdog:
    """Watches the steps of one thread at a time."""

    def __init__(self, timeout_s: float, file: IO[str] | None = None) -> None:
        """`timeout_s`: of processor time, or of standing still. `file`: where to leave what all threads were at."""
        self._timeout_s = timeout_s
        self._file = sys.stderr if file is None else file
        self._numbers = itertools.count()
        self._step: Step | None = None
        # The dump first, then what the signal does by itself: it ends the process.
        faulthandler.register(signal.SIGPROF, file=self._file, chain=True)
        threading.Thread(target=self._keep_looking, name="watchdog", daemon=True).start()

    def begin(self) -> None:
        """A step begins in this thread. Costs two microseconds."""
        self._step = Step(next(self._numbers), time.pthread_getcpuclockid(threading.get_ident()))
        signal.setitimer(signal.ITIMER_PROF, self._timeout_s)

    def end(self) -> None:
        """The step has ended."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._step = None

    def _keep_looking(self) -> None:
        stillness = Stillness()
        while True:
            time.sleep(self._timeout_s / LOOKS)
            if stillness.look(self._step):
                faulthandler.dump_traceback(self._file)
                os._exit(STUCK_EXIT)


def of_the_step(dump: str) -> str:
    """What was left, without the thread that only looks."""
    threads = dump.split("\n\n")
    return "\n\n".join(one for one in threads if f"in {Watchdog._keep_looking.__name__}" not in one)

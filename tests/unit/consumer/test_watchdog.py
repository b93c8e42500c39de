"""A step that doesn't end ends its process; one that only gets no processor does not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pistats.consumer.watchdog import LOOKS, STUCK_EXIT, Step, Stillness, of_the_step

TIMEOUT_S = 0.2
DEADLINE_S = 60
SCRIPT = f"""
import os, signal, sys, threading
from pistats.consumer.watchdog import Watchdog

def computes(): sum(range(10**15))  # in C: no other Python thread gets a turn
def waits(): threading.Event().wait()
def is_paused(): os.kill(os.getpid(), signal.SIGSTOP)

watchdog = Watchdog({TIMEOUT_S})
watchdog.begin()
globals()[sys.argv[1]]()
watchdog.end()
"""


class Clock:
    """A thread's processor time, as the test says."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self, clock: int) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_step_that_goes_on_is_left_alone_however_late_every_look_is(clock: Clock) -> None:
    stillness = Stillness(clock)
    for _ in range(20 * LOOKS):  # of any length each: a starved machine
        clock.ns += 1
        assert not stillness.look(Step(0, 7))


def test_a_step_that_stands_still_is_noticed_at_the_last_of_its_looks(clock: Clock) -> None:
    stillness = Stillness(clock)
    assert [stillness.look(Step(0, 7)) for _ in range(LOOKS + 1)] == [False] * LOOKS + [True]


@pytest.mark.parametrize("between", [None, Step(1, 7)], ids=["no step", "the next step"])
def test_another_step_or_none_begins_the_count_anew(clock: Clock, between: Step | None) -> None:
    stillness = Stillness(clock)
    seen = [*[Step(0, 7)] * LOOKS, between, *[Step(2, 7)] * LOOKS]
    assert not any(stillness.look(step) for step in seen)


@pytest.fixture
def step(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, request.param], stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("step", "status"), [("computes", -signal.SIGPROF), ("waits", STUCK_EXIT)], indirect=["step"])
def test_a_step_without_end_ends_the_process_and_says_where_it_was(step: subprocess.Popen[str], status: int) -> None:
    _, dump = step.communicate(timeout=DEADLINE_S)
    assert step.returncode == status
    assert "_keep_looking" in dump
    left = of_the_step(dump)
    assert "_keep_looking" not in left
    assert f"in {step.args[-1]}" in left  # type: ignore[index]


@pytest.mark.parametrize("step", ["is_paused"], indirect=True)
def test_a_process_that_gets_no_processor_for_longer_than_the_timeout_goes_on(step: subprocess.Popen[str]) -> None:
    assert os.waitid(os.P_PID, step.pid, os.WSTOPPED | os.WNOWAIT)
    time.sleep(3 * TIMEOUT_S)  # that it gets no processor for so long is what is given
    step.send_signal(signal.SIGCONT)
    assert step.wait(DEADLINE_S) == 0

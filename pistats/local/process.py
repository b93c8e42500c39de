"""A child process that is bound to the life of this one."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")


class OwnedProcess:
    """A running child that gets SIGTERM when this process ends, in whatever way.

    A thread of its own starts it and waits for it: Linux ties the child's death signal to the *thread* that forked
    it, so one that came from a short-lived worker thread would be stopped with that thread.
    """

    def __init__(self, command: Sequence[str], *, output: Path, environment: Mapping[str, str] | None = None) -> None:
        """`output` gets what it prints. `environment`: all of it; unset: that of this process."""
        self._environment = environment
        self._command = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), *command]
        self._output = output
        self._started = threading.Event()
        self._failure: OSError | None = None
        self._child: subprocess.Popen[bytes]
        threading.Thread(target=self._keep, name=f"keeper of {Path(command[0]).name}", daemon=True).start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    def stop(self, timeout_s: float) -> None:
        """SIGTERM, wait, then SIGKILL after `timeout_s`. May be repeated."""
        if self.running:
            self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _keep(self) -> None:
        try:
            with self._output.open("wb") as output:
                self._child = subprocess.Popen(  # noqa: S603
                    self._command,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C goes to the owner, which stops its children in order
                )
        except OSError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        self._child.wait()

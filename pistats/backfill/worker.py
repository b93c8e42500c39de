"""The processes that do units: they give way to the rest of the machine, and end with who made them."""

import ctypes
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor

import pyarrow as pa

from pistats.local.launch import PR_SET_PDEATHSIG

NICENESS = 10


def unit_pool(processes: int) -> ProcessPoolExecutor:
    """Processes for `import_unit`. They end when this one does, however it ends."""
    return ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_prepare_process, initargs=(os.getpid(),)
    )


def _prepare_process(owner_pid: int) -> None:
    """Ctrl-C goes to the owner, which ends the pool; a pool's process waits for ever when its owner is killed, so the
    kernel is asked to end it (Linux)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    pa.set_cpu_count(1)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != owner_pid:
            sys.exit("The import has ended.")
    _do_without_pandas()


def _do_without_pandas() -> None:
    """Arrow looks for pandas when it first makes an array, and remembers the answer: more than a second."""
    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(_NoPandas)


class _NoPandas:
    """A finder of modules, for as long as it is in `sys.meta_path`."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("not wanted here", name=name)

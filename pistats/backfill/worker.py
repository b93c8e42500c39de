"""A process of the pool that does units: it gives way to the rest of the machine, and ends with who made it."""

import ctypes
import os
import signal
import sys

import pyarrow as pa

from pistats.local.launch import PR_SET_PDEATHSIG

NICENESS = 10


def prepare_process(owner_pid: int) -> None:
    """For the pool's initializer. `owner_pid`: the process that made the pool.

    Ctrl-C goes to that process, which ends the pool; a pool's process waits for ever when its owner is killed, so the
    kernel is asked to end it (Linux).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    pa.set_cpu_count(1)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != owner_pid:
            sys.exit("The import has ended.")

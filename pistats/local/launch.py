"""Run as a script, `launch.py OWNER_PID COMMAND…`: becomes COMMAND, which gets SIGTERM when its owner dies.

However the owner dies: the kernel sends the signal (`prctl(PR_SET_PDEATHSIG)`, Linux). The setting survives `exec`.
A process of its own, because code between `fork` and `exec` of a process with threads may deadlock.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(owner_pid: int, command: list[str]) -> None:
    """Become `command`, bound to the life of `owner_pid`."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != owner_pid:  # the owner died before the line above
            sys.exit("The process that wanted this one is gone.")
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

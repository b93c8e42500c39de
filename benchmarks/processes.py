"""Processor time of the system's processes, by what they are called."""

from collections import defaultdict

import psutil

from benchmarks.running_system import System


class CpuClock:
    """Started when it is made. Other programs on the machine slow a benchmark down, but hardly change these figures."""

    def __init__(self, system: System) -> None:
        self._before = {process: cpu_s(process) for process in system.processes()}

    def us_per(self, count: int, least: float = 1.0) -> dict[str, float]:
        """Microseconds of processor time per request or event since the start, largest first; `least` and above."""
        spent: dict[str, float] = defaultdict(float)
        for process, before in self._before.items():
            try:
                spent[name_of(process)] += cpu_s(process) - before
            except psutil.NoSuchProcess:
                continue
        costs = {name: round(1e6 * seconds / count, 1) for name, seconds in spent.items()}
        return {name: cost for name, cost in sorted(costs.items(), key=lambda item: -item[1]) if cost >= least}


def cpu_s(process: psutil.Process) -> float:
    """Seconds on a core since the process began."""
    times = process.cpu_times()
    return float(times.user + times.system)


def name_of(process: psutil.Process) -> str:
    """What a reader calls it: an actor's class, a module, or a program."""
    command = process.cmdline() or [process.name()]
    if command[0].startswith("ray::"):
        return command[0].partition(".")[0]  # without the method that it runs at the moment
    if "-m" in command:
        return "python -m " + command[command.index("-m") + 1]
    program = command[0].rpartition("/")[2]
    if program.startswith("python") and len(command) > 1:
        return "python " + next((part for part in command[1:] if not part.startswith("-")), "").rpartition("/")[2]
    return program

"""Exactly once, on the whole system: every process is killed under load, and no event is lost or counted twice."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.running_system import RunningSystem, alive, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.system]

SITE = "exactly-once"
RATE = 500
RUN_S = 20
VICTIMS = {
    "ingest replica": "ray::ServeReplica:ingest:ingest",
    "partition": "ray::PartitionActor",
    "consumer": "ray::ConsumerActor",
    "mongod": "bin/mongod",
    "supervisor": "ray::SupervisorActor",
    "proxy": "/haproxy ",
    "proxy manager": "ray::HAProxyManager",
}
"""By a part of its command line; Ray writes an actor's class there."""
RECOVERY_S = 90.0
"""Seconds on quiet cores; ten times that on busy ones."""


class Load:
    """`pistats simulate` at 500 events a second, one run after the other for as long as it takes."""

    def __init__(self, system: RunningSystem, key: str, directory: Path) -> None:
        self._command = [sys.executable, "-m", "pistats", "simulate", "--key", key, "--url", system.url, "--quiet"]
        self._directory = directory
        self._runs: list[tuple[subprocess.Popen[str], Path]] = []

    def keep(self) -> None:
        """Returns while events are being acknowledged."""
        if self._runs and self._runs[-1][0].poll() is None:
            return
        acked = self._directory / f"acked-{len(self._runs)}.txt"
        more = ["--rate", str(RATE), "--seconds", str(RUN_S), "--seed", "1", "--acked", str(acked)]
        process = subprocess.Popen([*self._command, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._runs.append((process, acked))
        wait_for(lambda: acked.exists() and acked.stat().st_size, 60, "a first acknowledgement")

    def acknowledged(self) -> list[str]:
        """Every acknowledged id, once all runs have ended by themselves with everything acknowledged."""
        ids: list[str] = []
        for process, acked in self._runs:
            printed, _ = process.communicate(timeout=RECOVERY_S)
            print(printed)
            assert process.returncode == 0, printed
            noted = acked.read_text().split()
            assert len(noted) == RATE * RUN_S, printed
            ids += noted
        return ids

    def end(self) -> None:
        for process, _ in self._runs:
            process.terminate()
            process.wait(30)


@pytest.fixture
def load(spare_system: RunningSystem, tmp_path: Path) -> Iterator[Load]:
    load = Load(spare_system, spare_system.site(SITE)["write_key"], tmp_path)
    yield load
    load.end()


def kill_one(system: RunningSystem, title: str) -> None:
    """SIGKILL the first such process, and wait until another has taken its place."""
    before = sorted(system.processes(title), key=psutil.Process.create_time)
    assert before, f"no process {title} among {[one.cmdline()[:2] for one in system.processes()]}"
    victim = before[0]  # of the consumers the one that no calm of the load ends
    victim.kill()
    wait_for(lambda: not alive(victim), 10, f"{title} killed")
    wait_for(lambda: set(system.processes(title)) - set(before), RECOVERY_S, f"another {title}")


@pytest.mark.timeout(900)
def test_no_event_is_lost_or_counted_twice_whatever_dies(spare_system: RunningSystem, load: Load) -> None:
    system = spare_system
    before = system.wait_until_consumed()["ledger"]["appended"]

    for name, title in VICTIMS.items():
        load.keep()
        began = time.monotonic()
        kill_one(system, title)
        print(f"{name}: another one after {time.monotonic() - began:.1f} s")

    acknowledged = Counter(load.acknowledged())
    status = system.wait_until_consumed(RECOVERY_S)
    ledger = status["ledger"]
    stored = [record for record in system.stored() if record["event"]["site"] == SITE]
    assert set(acknowledged.values()) == {1}
    assert Counter(record["event_id"] for record in stored) == acknowledged
    assert ledger["appended"] - before == len(stored)
    assert (ledger["difference"], ledger["dead_lettered"]) == (0, 0)
    assert ledger["enriched"] + ledger["bots"] == ledger["consumed"] == ledger["appended"]
    assert system.counted(SITE) == len(stored)

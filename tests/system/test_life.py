"""A system's life: killed and started again, beside another one, and stopped so that nothing is left of it."""

import itertools
import urllib.request
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from pistats.local.ports import is_free
from pistats.local.ray_head import ray_directory
from tests.running_system import SPARE, RunningSystem, alive, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

NUMBERS = itertools.count(1)
ENDED_S = 90.0
"""20 s pass until `up` has seen the end of its Ray and has ended, too; more on busy cores."""
GONE_S = 30.0
"""Ray's processes end by themselves some seconds after their raylet."""
FIRST_NUMBERS_S = 60.0
"""From the start to the first live numbers of the demo; busy cores get as long again for the start itself."""


def view(visitor: str) -> dict[str, Any]:
    return {"name": "page_view", "url": "https://example.com/", "visitor_id": visitor, "event_id": visitor}


def survivors(processes: Iterable[psutil.Process]) -> list[str]:
    return [" ".join(one.cmdline())[:200] for one in processes if alive(one)]


def kill_up(system: RunningSystem) -> None:
    """SIGKILL `pistats up` alone: its children have to notice by themselves."""
    psutil.Process(system.runtime["pid"]).kill()


def kill_everything(system: RunningSystem) -> None:
    """SIGKILL every process, as when the power fails."""
    for process in [psutil.Process(system.runtime["pid"]), *system.processes()]:
        process.kill()


@pytest.mark.parametrize("kill", [kill_everything, kill_up])
def test_a_killed_system_is_started_again_and_has_lost_nothing(
    kill: Any, spare_system: RunningSystem, system: RunningSystem
) -> None:
    spare, sent = spare_system, next(NUMBERS)
    event = view(f"before-{sent}")
    key, beside = spare.site("life")["write_key"], system.lasting()
    assert spare.process is not None
    assert spare.send(key, event)[1]["accepted"] == 1
    family = spare.processes()

    kill(spare)
    spare.process.wait()
    spare.arguments = ("--demo",)
    spare.start()

    wait_for(lambda: not survivors(family), GONE_S, "the end of every process of the killed system")
    assert spare.printed.count("Password") == 1, "the password is shown once"
    assert spare.send(key, event)[1]["duplicates"] == 1
    assert [one["event_id"] for one in spare.stored()].count(event["event_id"]) == 1
    wait_for(lambda: spare.counted("life") == sent, GONE_S, "every event counted, and counted once")
    wait_for(lambda: spare.counted("demo"), FIRST_NUMBERS_S, "first numbers of the demo")
    with urllib.request.urlopen(spare.demo_site_url) as page:
        assert b"/t.js" in page.read()
    assert [one for one in beside if not alive(one)] == [], "the system beside it was disturbed"
    assert system.wait_until_consumed()["healthy"]


def test_a_system_that_has_lost_its_ray_ends(spare_system: RunningSystem) -> None:
    assert spare_system.process is not None
    (gcs,) = spare_system.processes("/gcs_server")

    gcs.kill()

    assert spare_system.process.wait(ENDED_S) == 1
    refused = spare_system.run("status", check=False)
    assert (refused.returncode, "No piStats runs" in refused.stderr) == (1, True)


def test_ctrl_c_leaves_nothing_running(spare_system: RunningSystem, system: RunningSystem) -> None:
    spare, beside, note = spare_system, system.lasting(), spare_system.runtime
    family = spare.processes()
    assert len(family) > 10
    assert spare.process is not None

    spare.stop()

    assert spare.process.returncode == 0
    wait_for(lambda: not survivors(family), GONE_S, "the end of every process")
    marks = (str(spare.data), str(ray_directory(spare.data)))
    assert [line for line in survivors(psutil.process_iter()) if any(mark in line for mark in marks)] == []
    addresses = (note["url"], note["dashboard_url"], note["mongodb_uri"], f"//{note['ray_address']}")
    assert [address for address in addresses if not is_free(urlsplit(address).port or 0)] == []
    assert "No piStats runs" in spare.run("status", check=False).stderr
    assert [one for one in beside if not alive(one)] == [], "the system beside it was disturbed"
    spare.arguments = SPARE

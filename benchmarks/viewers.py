"""From the acknowledgement of an event to the number on the live page, at 600 events/s with 1, 20 and 100 viewers.

    .venv/bin/python -m benchmarks.viewers [--minutes 10] [--data .pistats]

One viewer is a page in Chromium, the others hold open what a browser would (`benchmarks.live_viewers`). Beside the
load, an event of a name of its own is sent three times a second: the k-th one is on the page as soon as it says k.
Time runs from its acknowledgement to the frame of Chromium that shows it. The last step lasts `--minutes`; processor
and memory (PSS) are the dashboard process's.
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil
from playwright.async_api import BrowserContext, Page
from pymongo import AsyncMongoClient

from benchmarks.chromium import chromium
from benchmarks.figures import RESULTS, Figure, Result, Target, save
from benchmarks.load_process import failures, finish_load, start_load
from benchmarks.machine import commit, machine
from benchmarks.processes import cpu_s, name_of
from benchmarks.running_system import System, attached, running_system
from dashboard.sign_in import SignIns, cookie_name
from pistats.clock import now_ms
from pistats.dashboard_access import DashboardAccess, load_access
from pistats.settings import OidcSettings, Settings

RATE = 600
MARKER = "marker"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
"""What sends the markers: the name of an HTTP library would make them a bot's."""
STEPS = (1, 20, 100)
STEP_S, HOLD_MIN = 60.0, 10.0
MARKER_PAUSE_S = (0.2, 0.5)
"""Uneven, so that markers meet every phase of the flushes; short, so that five other kinds of events are fewer."""
SETTLE_S = 5.0
ARRIVALS_S = 60.0
"""For the viewers to come, all steps together; the load goes on meanwhile."""
LIVE_S = 2.0
"""What the live page promises."""

WATCH_JS = """(panel, marker) => {
  window.seen = []
  let last = null
  const look = () => {
    const row = [...panel.querySelectorAll('.row')].find((one) => one.textContent.includes(marker))
    const count = Number(row?.querySelector('.value')?.textContent.replace(',', '') ?? 0)
    if (last === null) last = count
    if (count > last) {
      const [from, to] = [last + 1, count]
      last = count
      // After the frame that paints it.
      requestAnimationFrame(() => setTimeout(() => {
        for (let k = from; k <= to; k++) window.seen.push([k, Date.now() / 1000])
      }))
    }
  }
  window.watching?.disconnect()
  window.watching = new MutationObserver(look)
  window.watching.observe(panel, { subtree: true, childList: true, characterData: true })
  look()
}"""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the viewers go, and who is watched."""

    url: str
    site: str
    cookie: tuple[str, str]
    dashboard: psutil.Process


@dataclass(frozen=True, slots=True)
class FixedAccess:
    """The access as it is now."""

    access: DashboardAccess


class Markers:
    """Sends events called `marker` until cancelled, and notes when each was acknowledged."""

    def __init__(self, ingest: str, key: str) -> None:
        self._ingest = ingest
        self._key = key
        self.acknowledged: list[float] = []
        """Unix time in seconds; the k-th event is the (k - 1)-th here."""

    async def run(self) -> None:
        async with aiohttp.ClientSession(headers={"x-pistats-key": self._key, "user-agent": BROWSER}) as session:
            while True:
                event = {"name": MARKER, "visitor_id": "marker", "url": "https://news.example/marker"}
                async with session.post(f"{self._ingest}/v1/events", json=event) as answer:
                    if answer.status != 202:
                        raise RuntimeError(f"a marker was not accepted: {answer.status} {await answer.text()}")
                self.acknowledged.append(time.time())
                await asyncio.sleep(random.uniform(*MARKER_PAUSE_S))


class Step:
    """Figures of one number of viewers."""

    def __init__(self, result: Result, scene: Scene, markers: Markers, viewers: int) -> None:
        self._result = result
        self._scene = scene
        self._markers = markers
        self._viewers = viewers

    async def run(self, page: Page, seconds: float) -> None:
        """Opens the viewers, waits until their arrival is over, then measures."""
        with _others(self._scene, self._viewers - 1) as others:
            await asyncio.sleep(SETTLE_S)
            panel = page.locator('[data-panel="events"]')
            await panel.evaluate(WATCH_JS, MARKER)
            began_s, processor_s = time.monotonic(), cpu_s(self._scene.dashboard)
            self._memory("at first")
            await asyncio.sleep(seconds)
            share = (cpu_s(self._scene.dashboard) - processor_s) / (time.monotonic() - began_s)
            self._memory(f"after {seconds / 60:.3g} minutes")
            self._figure("processor of the dashboard", 100 * share, "% of a core")
            self._ages("pixel", [await page.evaluate("window.seen")], LIVE_S)
            seen = await self._seen(others) if others else []
        if seen:
            self._ages("frame", [one["seen"] for one in seen], None)
            self._figure("frames of one viewer", statistics.mean(one["frames"] for one in seen) / seconds, "/s")
            frames = sum(one["frames"] for one in seen)
            self._figure("bytes of a frame", sum(one["bytes"] for one in seen) / frames, "bytes")

    async def _seen(self, others: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
        """Of the other viewers. Their failure is a missed target, and costs no figure of anything else."""
        try:
            return await asyncio.to_thread(_end, others)
        except RuntimeError as error:
            self._result.details[f"{self._viewers} viewers, the others"] = str(error)
            self._figure("answers of the others' process", 0, "", Target(">=", 1))
            return []

    def _memory(self, when: str) -> None:
        self._figure(f"memory (PSS) of the dashboard, {when}", self._scene.dashboard.memory_full_info().pss / 1e6, "MB")

    def _ages(self, what: str, seen: Sequence[Sequence[Sequence[float]]], target_s: float | None) -> None:
        ages = sorted(1000 * (at - self._markers.acknowledged[int(k) - 1]) for one in seen for k, at in one)
        if not ages:
            raise RuntimeError(f"no {MARKER} reached a {what}")
        target = None if target_s is None else Target("<=", 1000 * target_s)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            age = ages[min(len(ages) - 1, int(share * len(ages)))]
            self._figure(f"write to {what}, {name}", age, "ms", target if name == "p95" else None)
        self._result.details[f"{self._viewers} viewers, write to {what}"] = f"{len(ages)} sightings"

    def _figure(self, name: str, value: float, unit: str, target: Target | None = None) -> None:
        figure = Figure(f"{self._viewers} viewers: {name}", round(value, 1), unit, target)
        self._result.figures.append(figure)
        print(f"{figure.name}: {figure.value:,} {unit} {figure.verdict}", flush=True)


def measure(system: System, *, quick: bool, minutes: float = HOLD_MIN) -> Result:
    """One step after the other, in one browser and under one load."""
    step_s, hold_s = (15.0, 30.0) if quick else (STEP_S, 60 * minutes)
    return asyncio.run(_measure(system, step_s, hold_s))


async def _measure(system: System, step_s: float, hold_s: float) -> Result:
    result = Result("viewers")
    site, key = await asyncio.to_thread(system.new_site)
    scene = await _scene(system, site)
    markers = Markers(system.runtime.url, key)
    load = start_load(system.http_port, key=key, connections=64, rate=RATE, seconds=2 * step_s + hold_s + ARRIVALS_S)
    try:
        async with chromium() as browser, asyncio.TaskGroup() as group:
            sending = group.create_task(markers.run())
            page = await _live_page(await browser.new_context(viewport={"width": 1600, "height": 1000}), scene)
            for viewers in STEPS:
                seconds = hold_s if viewers == STEPS[-1] else step_s
                await Step(result, scene, markers, viewers).run(page, seconds)
            sending.cancel()
    finally:
        sent = result.details["load"] = await asyncio.to_thread(finish_load, load)
    result.figures.append(failures(sent, f"load of {RATE}/s"))
    result.figures.append(Figure(f"load of {RATE}/s: requests sent again", sent["resent"], ""))
    return result


async def _scene(system: System, site: str) -> Scene:
    """With a cookie of an admin: its secret is in the database, and no password is changed."""
    assert system.runtime.dashboard_url is not None, "the system runs without its dashboard"
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(system.runtime.mongodb_uri)
    access = await load_access(client[Settings().database()])
    await client.close()
    assert access is not None, "the system has no password yet"
    issued = SignIns(FixedAccess(access), 86_400, now_ms, OidcSettings()).issue(access, "password", "admin")
    dashboard = next(one for one in system.processes() if name_of(one) == "python -m dashboard")
    return Scene(system.runtime.dashboard_url, site, (cookie_name(access), issued), dashboard)


async def _live_page(context: BrowserContext, scene: Scene) -> Page:
    name, value = scene.cookie
    await context.add_cookies([{"name": name, "value": value, "url": scene.url}])
    page = await context.new_page()
    await page.goto(f"{scene.url}/?site={scene.site}")
    await page.wait_for_selector(".live[data-state=live]", timeout=60_000)
    await page.locator('[data-panel="events"] .row', has_text=MARKER).wait_for(timeout=30_000)
    return page


@contextmanager
def _others(scene: Scene, viewers: int) -> Iterator[subprocess.Popen[bytes] | None]:
    """All but the one in Chromium; ends when all have their page."""
    if not viewers:
        yield None
        return
    command = [sys.executable, "-m", "benchmarks.live_viewers", "--url", scene.url, "--site", scene.site]
    command += ["--viewers", str(viewers), "--marker", MARKER]
    own = {"PISTATS_COOKIE": "=".join(scene.cookie)}  # arguments can be read by everyone on the machine
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env={**os.environ, **own}, **pipes) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("the viewers did not get their pages")
            yield process
        finally:
            process.kill()


def _end(others: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    """What each saw."""
    output, _ = others.communicate()
    try:
        seen: list[dict[str, Any]] = orjson.loads(output)
    except orjson.JSONDecodeError:
        raise RuntimeError(f"ended with {others.returncode} after {len(output)} bytes of its answer") from None
    return seen


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=HOLD_MIN, help="length of the last step")
    parser.add_argument("--quick", action="store_true", help="short steps, whose figures mean little")
    parser.add_argument("--data", type=Path, help="measure the system that runs on this data directory instead")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    chosen = parser.parse_args()
    with nullcontext(attached(chosen.data)) if chosen.data else running_system() as system:
        result = measure(system, quick=chosen.quick, minutes=chosen.minutes)
    command = " ".join(["python -m benchmarks.viewers", *sys.argv[1:]])
    context = {"command": command, "commit": commit(), "machine": machine(), "quick": chosen.quick}
    print(save(result, context, chosen.results))


if __name__ == "__main__":
    main()

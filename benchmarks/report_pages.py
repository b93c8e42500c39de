"""How long the report pages take to paint in Chromium, over a warehouse of millions of events.

    .venv/bin/python -m benchmarks.report_pages [--events 5000000] [--save]

90 days until today, rolled up up to yesterday as the job leaves them, one real dashboard process. For each page: from
the start of the navigation of a signed-in browser to the shape of the page, and to its numbers; then a click on a
filter. The answers are asked for the first time: nothing is in the dashboard's memory.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright, expect

from benchmarks.figures import Figure, Result, Target, save
from benchmarks.machine import commit, machine
from benchmarks.warehouse_data import make_days
from pistats.dashboard_access import ensure_password
from pistats.local.ports import free_ports
from pistats.mongo.client import connect
from pistats.mongo.indexes import Database, ensure_group_indexes, ensure_system_indexes
from pistats.mongo.server import MongodServer
from pistats.settings import MongoSettings
from pistats.sites import SiteStore
from pistats.warehouse.rollup import Rollups
from pistats.warehouse.rollup_files import RollupStore
from pistats.warehouse.source import EventSource
from pistats.warehouse.storage import Storage

SITE, DAYS = "bench.example", 90
SHAPE = ".root.card"
LOADING = ".root[data-loading]"
NUMBERS = ".root.card:not([data-loading]):not([data-waiting])"
PAGES = (
    ("history, 7 days", "/history?period=7d"),
    ("history, 30 days", "/history?period=30d"),
    ("history, 90 days", "/history?period=custom&from={first}&to={last}"),
    ("retention, 12 weeks", "/retention?by=week&last=12&mode=recurring"),
    ("funnel, 7 days", "/funnel?step=page_view&step=purchase"),
)
FIRST_PAINT_S = 1.5
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


async def make(group: Database, system: Database, root: Path, events: int) -> None:
    """A site whose warehouse holds so many events, rolled up but for today."""
    await ensure_system_indexes(system)
    await ensure_group_indexes(group, 3_600)
    await SiteStore(system).add(SITE)
    first = datetime.now(UTC).date() - timedelta(days=DAYS - 1)
    storage = Storage(str(root))
    await make_days(group, storage, "live", SITE, first, DAYS, events=events, visitors=events // 15)
    site = await SiteStore(system).get(SITE)
    assert site is not None
    rollups = Rollups(RollupStore(group), EventSource(group, system, str(root)), storage, "live", "bench")
    await rollups.run(site, await rollups.days_to_count(site))


async def measure_pages(url: str, password: str, result: Result) -> None:
    """The figures of every page, in a browser that is signed in."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    last = datetime.now(UTC).date()
    first = last - timedelta(days=DAYS - 1)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(CHROMIUM))
        page = await browser.new_page(viewport={"width": 1440, "height": 1000})
        await page.goto(f"{url}/login")
        await page.fill("#password", password)
        await page.click("button[type=submit]")
        await page.wait_for_selector(".live")
        for name, address in PAGES:
            began = time.perf_counter()
            await page.goto(url + address.format(first=first, last=last), wait_until="commit")
            await _note(result, page, f"{name}: shape", SHAPE, began, FIRST_PAINT_S)
            await _note(result, page, f"{name}: first numbers", NUMBERS, began)
            await expect(page.locator(LOADING)).to_have_count(0, timeout=60_000)
            await _note(result, page, f"{name}: all numbers", NUMBERS, began)
        await page.goto(f"{url}/history")
        await page.wait_for_selector(".table .row .number")
        began = time.perf_counter()
        await page.locator(".table .row", has_text="Desktop").click()
        await page.wait_for_selector(".chip")
        await _note(result, page, "a filter, 7 days: numbers", ".overview:not([data-waiting])", began)
        await browser.close()


async def _note(
    result: Result, page: Page, name: str, selector: str, began: float, target_s: float | None = None
) -> None:
    await page.wait_for_selector(selector, timeout=60_000)
    took = time.perf_counter() - began
    result.figures.append(Figure(name, round(took, 3), "s", None if target_s is None else Target("<=", target_s)))
    print(f"{name}: {took:.2f} s", flush=True)


async def measure(directory: Path, events: int) -> Result:
    """All figures."""
    server = MongodServer(directory / "mongod", MongoSettings(cache_mb=256))
    await asyncio.to_thread(server.start)
    client = connect(server.uri)
    result = Result("report_pages")
    try:
        system, group = client["bench"], client["bench_live"]
        began = time.perf_counter()
        await make(group, system, directory / "warehouse", events)
        print(f"{events:,} events made and rolled up in {time.perf_counter() - began:.0f} s", flush=True)
        password = await ensure_password(system)
        assert password is not None
        port = free_ports(1)[0]
        process = await _start(server.uri, port, directory)
        try:
            await _listening(port)
            await measure_pages(f"http://127.0.0.1:{port}", password, result)
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()
    finally:
        await client.close()
        await asyncio.to_thread(server.stop)
    return result


async def _start(uri: str, port: int, directory: Path) -> asyncio.subprocess.Process:
    own: dict[str, Any] = {
        "PISTATS_MONGODB__URI": uri,
        "PISTATS_MONGODB__DATABASE_PREFIX": "bench",
        "PISTATS_DASHBOARD__PORT": str(port),
        "PISTATS_DATA": str(directory),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dashboard", env={**os.environ, **own}, cwd=directory
    )


async def _listening(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5_000_000, help="events in the warehouse")
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        result = asyncio.run(measure(Path(directory), chosen.events))
    if chosen.save:
        command = " ".join(["python -m benchmarks.report_pages", *sys.argv[1:]])
        print(save(result, {"command": command, "commit": commit(), "machine": machine()}))


if __name__ == "__main__":
    main()

"""How long every page takes to paint in Chromium, over a warehouse of millions of events, and how much it jumps.

    .venv/bin/python -m benchmarks.pages [--events 5000000] [--save] [--keep DIRECTORY]

90 days until today, rolled up up to yesterday as the job leaves them, one real dashboard process. For each page: from
the start of the navigation of a signed-in browser to the shape of the page, and to its numbers; then a click on a
filter. The answers are asked for the first time: nothing is in the dashboard's memory. Layout shift is what Chromium
itself reports (the sum of all shifts that no click or key caused), until the numbers have stood for a second, on a wide
and on a narrow window.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from playwright.async_api import Browser, Page, expect

from benchmarks.chromium import chromium
from benchmarks.figures import Figure, Result, Target
from benchmarks.part import arguments, run
from benchmarks.warehouse_data import make_days
from pistats.dashboard_access import reset_password
from pistats.identity import bucket_of
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
CARD = ".stMain .root.card"
LOADED = ".stMain .root.card:not([data-loading]):not([data-waiting])"
FIRST_PAINT_S, MAX_SHIFT = 1.5, 0.02
SETTLED_MS = 1_000
KEY_MS = 120
"""From one key of the password to the next: someone who types fast."""
WIDTHS = {1600: "", 420: ", 420 pixels"}
"""Widths of the window; what a figure's name ends with. Times are of the first."""

SHIFTS_JS = """
window.shifts = []
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue
    const moved = entry.sources.map(({ node, previousRect: a, currentRect: b }) => {
      const at = node?.nodeType === 1 ? node : node?.parentElement
      return `${at?.className?.baseVal ?? at?.className ?? '?'} ${a.top},${a.height} → ${b.top},${b.height}`
    })
    window.shifts.push({ value: entry.value, at: entry.startTime, moved })
  }
}).observe({ type: 'layout-shift', buffered: true })
"""


@dataclass(frozen=True, slots=True)
class Look:
    """A page as someone opens it: when its shape is there, and when its first numbers are."""

    name: str
    address: str
    shape: str = CARD
    numbers: str = LOADED


LOOKS = (
    Look("live", "/", ".live", ".live [data-number]"),
    Look("history, 7 days", "/history?period=7d"),
    Look("history, 30 days", "/history?period=30d"),
    Look("history, 90 days", "/history?period=custom&from={first}&to={last}"),
    Look("retention, 12 weeks", "/retention?by=week&last=12&mode=recurring"),
    Look("funnel, 7 days", "/funnel?step=page_view&step=purchase"),
    Look("visitor, 90 days", "/visitor?id={visitor}", ".timeline", ".timeline:not([data-loading])"),
    Look("operations", "/operations"),
    Look("site settings", "/site-settings", *2 * ("[class*=st-key-card_rules]",)),
)


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


async def measure_pages(url: str, password: str, visitor: str, result: Result) -> None:
    """The figures of every page, in a browser that is signed in."""
    async with chromium() as browser:
        for width in WIDTHS:
            async with _signed_in(browser, url, password, width, result) as page:
                for look in LOOKS:
                    await _look(result, page, url, look, visitor, width)
                if width == next(iter(WIDTHS)):
                    await _click_a_filter(result, page, url)


@asynccontextmanager
async def _signed_in(browser: Browser, url: str, password: str, width: int, result: Result) -> AsyncIterator[Page]:
    """A tab of a browser with an empty cache that has signed in and seen the live page."""
    context = await browser.new_context(viewport={"width": width, "height": 1000})
    page = await context.new_page()
    await page.add_init_script(SHIFTS_JS)
    await page.goto(f"{url}/login")
    await page.locator("#password").press_sequentially(password, delay=KEY_MS)
    began = time.perf_counter()
    await page.click("button[type=submit]")
    await _note(result, page, f"live after the login, nothing cached{WIDTHS[width]}: shape", ".live", began)
    yield page
    await context.close()


async def _look(result: Result, page: Page, url: str, look: Look, visitor: str, width: int) -> None:
    last = datetime.now(UTC).date()
    first = last - timedelta(days=DAYS - 1)
    # From an empty page: what the last one left running is over then.
    await page.goto("about:blank")
    began = time.perf_counter()
    await page.goto(url + look.address.format(first=first, last=last, visitor=visitor), wait_until="commit")
    name = f"{look.name}{WIDTHS[width]}"
    await _note(result, page, f"{name}: shape", look.shape, began, FIRST_PAINT_S)
    await _note(result, page, f"{name}: first numbers", look.numbers, began)
    await expect(page.locator(f"{CARD}[data-loading]")).to_have_count(0, timeout=60_000)
    await _note(result, page, f"{name}: all numbers", look.numbers, began)
    await page.wait_for_timeout(SETTLED_MS)
    shifts = await page.evaluate("window.shifts")
    shift = round(sum(one["value"] for one in shifts), 4)
    result.figures.append(Figure(f"{name}: layout shift", shift, "", Target("<=", MAX_SHIFT)))
    result.details[f"{name}: shifts"] = [one for one in shifts if one["value"] > 0.001]
    print(f"{name}: layout shift {shift}", *result.details[f"{name}: shifts"], sep="\n  ", flush=True)


async def _click_a_filter(result: Result, page: Page, url: str) -> None:
    await page.goto(f"{url}/history")
    await page.wait_for_selector(".table .row .number")
    began = time.perf_counter()
    await page.locator(".table .row", has_text="Desktop").click()
    await page.wait_for_selector(".chip")
    await _note(result, page, "a filter, 7 days: numbers", ".overview:not([data-waiting])", began)


async def _note(
    result: Result, page: Page, name: str, selector: str, began: float, target_s: float | None = None
) -> None:
    await page.wait_for_selector(selector, timeout=60_000)
    took = time.perf_counter() - began
    result.figures.append(Figure(name, round(took, 3), "s", None if target_s is None else Target("<=", target_s)))
    print(f"{name}: {took:.2f} s", flush=True)


async def measure(directory: Path, events: int) -> Result:
    """All figures. Data that a run has left in `directory` is used again."""
    server = MongodServer(directory / "mongod", MongoSettings(cache_mb=256))
    await asyncio.to_thread(server.start)
    client = connect(server.uri)
    result = Result("pages")
    try:
        system, warehouse = client["bench"], directory / "warehouse"
        if not warehouse.exists():
            began = time.perf_counter()
            await make(client["bench_live"], system, warehouse, events)
            print(f"{events:,} events made and rolled up in {time.perf_counter() - began:.0f} s", flush=True)
        password = await reset_password(system)
        port = free_ports(1)[0]
        async with dashboard_process(server.uri, port, directory):
            await measure_pages(f"http://127.0.0.1:{port}", password, _a_visitor(warehouse), result)
    finally:
        await client.close()
        await asyncio.to_thread(server.stop)
    return result


def _a_visitor(warehouse: Path) -> str:
    """One of the earliest whom the reports find: made visitors stand in any bucket, so few events have few of them."""
    for file in sorted(warehouse.glob("live/site=*/date=*/**/*.parquet")):
        for row in pq.ParquetFile(file).read(["visitor_id", "bucket"]).to_pylist():
            visitor = row["visitor_id"].hex() if isinstance(row["visitor_id"], bytes) else str(row["visitor_id"])
            if bucket_of(SITE, visitor) == row["bucket"]:
                return visitor
    raise RuntimeError("no visitor stands in the bucket of its id: make more events")


@asynccontextmanager
async def dashboard_process(uri: str, port: int, directory: Path) -> AsyncIterator[None]:
    """While it lasts, a dashboard process on the databases of `bench` listens on `port`."""
    own: dict[str, Any] = {
        "PISTATS_MONGODB__URI": uri,
        "PISTATS_MONGODB__DATABASE_PREFIX": "bench",
        "PISTATS_DASHBOARD__PORT": str(port),
        "PISTATS_DATA": str(directory),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dashboard", env={**os.environ, **own}, cwd=directory
    )
    try:
        await _listening(port)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


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
    parser = arguments(__doc__)
    parser.add_argument("--events", type=int, default=5_000_000, help="events in the warehouse")
    parser.add_argument("--keep", type=Path, help="make the data here and leave it, or use what is here")
    chosen = parser.parse_args()
    with nullcontext(chosen.keep) if chosen.keep else tempfile.TemporaryDirectory() as directory:
        run(lambda: asyncio.run(measure(Path(directory).absolute(), chosen.events)), keep=chosen.save)


if __name__ == "__main__":
    main()

"""Lines of an access log a second into Parquet, as `pistats import` does it, with a mongod of its own.

    .venv/bin/python -m benchmarks.backfill --lines 1000000

The log has 20,000 visitors with 300 user agents and 3,000 URLs, a few hundred referrers: a busy site's day. Processor
seconds are those of all processes but mongod, start of the processes included.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.enrich import BROWSERS, REFERRERS
from pistats.backfill.importer import Importer
from pistats.backfill.reader import open_source
from pistats.backfill.unit import ImportedUnit, ImportPlan, Unit, import_unit
from pistats.backfill.worker import prepare_process
from pistats.consumer.groups import Groups
from pistats.mongo.client import connect
from pistats.mongo.indexes import ensure_system_indexes
from pistats.mongo.server import MongodServer
from pistats.settings import MongoSettings, Settings, WarehouseSettings
from pistats.sites import SiteStore
from pistats.topology import settle_topology
from pistats.warehouse.manifest import Manifest

SITE = "news.example"
START = 1_764_028_800
"""2025-11-25T00:00:00Z, Unix seconds."""


def write_log(path: Path, lines: int, seed: int) -> None:
    """One day of a site, in combined format."""
    chance = random.Random(seed)
    agents = [chance.choice(BROWSERS).replace("{}", str(chance.randrange(1, 90))) for _ in range(300)]
    with path.open("w") as log:
        for number in range(lines):
            visitor = int(20_000 * chance.random() ** 2)
            moment = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(START + number * 86_400 // lines))
            page = int(3_000 * chance.random() ** 3)
            log.write(
                f"{5 + visitor % 180}.{visitor // 180}.9.{visitor % 7} - - [{moment}] "
                f'"GET /section-{page % 9}/article-{page} HTTP/1.1" 200 {chance.randrange(99_999)} '
                f'"{chance.choice(REFERRERS) or "-"}" "{agents[visitor % 300]}"\n'
            )


async def measure(file: Path, lines: int, processes: int, settings: Settings, uri: str) -> None:
    """Import the file; the figures."""
    async with connect(uri) as client:
        system = client[settings.database()]
        await ensure_system_indexes(system)
        await settle_topology(system, 2)
        await Groups(system, settings).settle()
        await SiteStore(system).add(SITE)
        began, cpu = time.monotonic(), processor_s()
        with ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), initializer=prepare_process, initargs=(os.getpid(),)
        ) as pool:

            async def work(plan: ImportPlan, unit: Unit) -> ImportedUnit:
                return await asyncio.get_running_loop().run_in_executor(pool, import_unit, plan, unit)

            stream, raw = open_source(str(file))
            with stream:
                report = await Importer(client, settings, work, in_flight=processes + 1).run(
                    stream, SITE, "combined", None
                )
            assert raw is not None
        wall, cpu = time.monotonic() - began, processor_s() - cpu
        files = await Manifest(client[settings.database("live")]).files(SITE)
    assert report.events == lines == sum(one.rows for one in files)
    print(f"{lines:,} lines with {processes} processes: {wall:.1f} s, {lines / wall:,.0f} lines/s")
    print(f"processor: {cpu:.1f} s, {lines / cpu:,.0f} lines/s and core")
    print(f"{len(files)} files, {sum(one.bytes for one in files) / lines:.1f} bytes an event")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    print(f"peak memory: {peak:,.0f} MB of the largest process beside the first")


def processor_s() -> float:
    """Of this process and those of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "access.log"
        write_log(file, chosen.lines, chosen.seed)
        settings = Settings(data=Path(directory), warehouse=WarehouseSettings(root=f"{directory}/warehouse"))
        server = MongodServer(Path(directory) / "mongod", MongoSettings(cache_mb=256))
        uri = server.start()
        try:
            asyncio.run(measure(file, chosen.lines, chosen.processes, settings, uri))
        finally:
            server.stop()


if __name__ == "__main__":
    main()

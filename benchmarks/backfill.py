"""Lines of an access log a second into Parquet, as `pistats import` does it, with a mongod of its own.

    .venv/bin/python -m benchmarks.backfill --lines 2000000

The log has 20,000 visitors, or as many as --visitors says, with 300 user agents and 3,000 URLs: a busy site's day.
Processor time is that of all processes but mongod, start of the processes included.
"""

import asyncio
import random
import tempfile
import time
from pathlib import Path

from benchmarks.cost import measured
from benchmarks.enrich import BROWSERS, REFERRERS
from benchmarks.figures import Figures, Result, Target
from benchmarks.part import arguments, run
from pistats.backfill.importer import Importer
from pistats.backfill.reader import open_source
from pistats.backfill.unit import ImportedUnit, ImportPlan, Unit, import_unit
from pistats.backfill.worker import unit_pool
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


def write_log(path: Path, lines: int, visitors: int, seed: int) -> None:
    """One day of a site, in combined format."""
    chance = random.Random(seed)
    agents = [chance.choice(BROWSERS).replace("{}", str(chance.randrange(1, 90))) for _ in range(300)]
    with path.open("w") as log:
        for number in range(lines):
            visitor = int(visitors * chance.random() ** 2)
            moment = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(START + number * 86_400 // lines))
            page = int(3_000 * chance.random() ** 3)
            log.write(
                f"{5 + visitor % 180}.{visitor // 180 % 250}.{visitor // 45_000}.{visitor % 7} - - [{moment}] "
                f'"GET /section-{page % 9}/article-{page} HTTP/1.1" 200 {chance.randrange(99_999)} '
                f'"{chance.choice(REFERRERS) or "-"}" "{agents[visitor % 300]}"\n'
            )


def measure(lines: int = 2_000_000, visitors: int = 20_000, processes: int = 2, seed: int = 1) -> Result:
    """All figures."""
    figures = Figures("backfill")
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "access.log"
        write_log(file, lines, visitors, seed)
        settings = Settings(data=Path(directory), warehouse=WarehouseSettings(root=f"{directory}/warehouse"))
        server = MongodServer(Path(directory) / "mongod", MongoSettings(cache_mb=256))
        uri = server.start()
        try:
            asyncio.run(import_file(file, lines, processes, settings, uri, figures))
        finally:
            server.stop()
    return figures.result()


async def import_file(file: Path, lines: int, processes: int, settings: Settings, uri: str, figures: Figures) -> None:
    async with connect(uri) as client:
        system = client[settings.database()]
        await ensure_system_indexes(system)
        await settle_topology(system, 2)
        await Groups(system, settings).settle()
        await SiteStore(system).add(SITE)
        with measured() as cost, unit_pool(processes) as pool:

            async def work(plan: ImportPlan, unit: Unit) -> ImportedUnit:
                return await asyncio.get_running_loop().run_in_executor(pool, import_unit, plan, unit)

            stream, raw = open_source(str(file))
            with stream:
                report = await Importer(client, settings, work, in_flight=processes + 1).run(
                    stream, SITE, "combined", None
                )
            assert raw is not None
        files = await Manifest(client[settings.database("live")]).files(SITE)
    assert report.events == lines == sum(one.rows for one in files)
    name = f"{lines:,} lines with {processes} processes"
    figures.add(name, lines / cost.wall_s, "lines/s", Target(">=", 50_000) if processes == 2 else None)
    figures.add("processor, start of the processes included", lines / cost.cpu_s, "lines/s and core")
    figures.add("memory of the processes", cost.peak_mb, "MB")
    figures.add("on disk", sum(one.bytes for one in files) / lines, "bytes an event")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--visitors", type=int, default=20_000, help="different ones in the log")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    run(lambda: measure(chosen.lines, chosen.visitors, chosen.processes, chosen.seed), keep=chosen.save)


if __name__ == "__main__":
    main()

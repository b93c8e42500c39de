"""Keeps the warehouse's files at a good size, and deletes those that nobody needs: `python -m jobs.compact`. Hourly."""

from collections.abc import Callable
from typing import Any

from jobs.run import run
from pistats.jobs.arguments import JobArguments
from pistats.jobs.job import Job
from pistats.warehouse.compact import Compaction
from pistats.warehouse.expire import Expiry
from pistats.warehouse.manifest import WarehouseFile
from pistats.warehouse.storage import Storage
from pistats.warehouse.sweep import Sweep
from pistats.warehouse.writer import FileWriter


async def compact(job: Job) -> dict[str, Any]:
    """Take off expired dates, compact one group's files, then remove what was replaced long enough ago."""
    storage = Storage(job.settings.warehouse_root)
    writer = FileWriter(storage, job.group_name, job.run_id)
    compaction = Compaction(job.group, job.system, storage, writer)
    expired = await Expiry(job.group, job.system).run()
    job.progress.begin("files rewritten")
    done = await compaction.run(_wanted(job.arguments), lambda rewrite: job.progress.advance(len(rewrite.old)))
    job.progress.begin("files deleted")
    swept = await Sweep(job.group, storage, job.group_name, grace_s=job.settings.warehouse.file_grace_s).run()
    return {
        "expired_files": expired.files,
        "expired_events": expired.events,
        "rewrites": done.rewrites,
        "files_before": done.files_before,
        "files_after": done.files_after,
        "bytes_after": done.bytes_after,
        "superseded": done.superseded,
        "deleted": swept.replaced,
        "garbage": swept.garbage,
    }


def _wanted(arguments: JobArguments) -> Callable[[WarehouseFile], bool]:
    first = "" if arguments.from_date is None else arguments.from_date.isoformat()
    last = "9999-12-31" if arguments.to_date is None else arguments.to_date.isoformat()
    return lambda file: arguments.site in (None, file.site) and first <= file.date <= last


def main() -> None:
    run("compact", compact)


if __name__ == "__main__":
    main()

"""Moves what waits in the outbox into the warehouse: `python -m jobs.archive`. Every five minutes, by the schedule."""

from typing import Any

from jobs.run import run
from pistats.jobs.job import Job
from pistats.warehouse.archive import Archive, Written
from pistats.warehouse.storage import Storage
from pistats.warehouse.writer import FileWriter


async def archive(job: Job) -> dict[str, Any]:
    """Archive one group's outbox."""
    storage = Storage(job.settings.warehouse_root)
    writer = FileWriter(storage, job.group_name, job.run_id)
    archive = Archive(job.group, job.system, storage, writer, unit_events=job.settings.warehouse.archive_unit_events)
    job.progress.begin("events archived")

    def advance(written: Written) -> None:
        job.progress.advance(sum(chunk.events for chunk in written.chunks))

    done = await archive.run(advance)
    return {"events": done.events, "chunks": done.chunks, "files": done.files, "bytes": done.bytes}


def main() -> None:
    run("archive", archive)


if __name__ == "__main__":
    main()

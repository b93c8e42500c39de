"""Moves what waits in the outbox into the warehouse, and carries on with erasures: `python -m jobs.archive`."""

from typing import Any

from jobs.run import run
from pistats.consumer.groups import Groups, reader_group
from pistats.jobs.job import Job
from pistats.warehouse.archive import Archive, Written
from pistats.warehouse.erase import Eraser
from pistats.warehouse.storage import Storage
from pistats.warehouse.sweep import Sweep
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
    await Sweep(job.group, storage, job.group_name, grace_s=job.settings.warehouse.file_grace_s).replaced()
    if job.group_name == await reader_group(job.system, job.settings):
        await erase(job, storage)
    return {"events": done.events, "chunks": done.chunks, "files": done.files, "bytes": done.bytes}


async def erase(job: Job, storage: Storage) -> None:
    """Carry on with what visitors asked to have erased, in every group."""
    job.progress.begin("erasures")
    groups = Groups(job.system, job.settings)
    names = [group.name for group in await groups.list() if group.state != "dropping"]
    await Eraser(job.system, {name: groups.database(name) for name in names}, storage, job.run_id).run()


def main() -> None:
    run("archive", archive)


if __name__ == "__main__":
    main()

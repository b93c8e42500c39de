"""Imports many files: `python -m jobs.backfill --site NAME --combined FILE …`, or `--clf`, or `--ndjson`.

Paths are those of the node that the job starts on. A file's units are Ray tasks, so all nodes work on it. They write to
the warehouse, which therefore has to be one that every node reaches: `s3://…`, or a shared folder.
"""

from pathlib import Path
from typing import Any

import ray

from jobs.run import run
from pistats.backfill.importer import Importer, ImportReport
from pistats.backfill.reader import open_source
from pistats.backfill.rows import FORMATS, Format
from pistats.backfill.unit import ImportedUnit, ImportPlan, Unit, import_unit
from pistats.errors import FinalError
from pistats.jobs.job import Job
from pistats.mongo.client import connect

LISTED = 100
"""Bad lines in the result of a run; the job's log has them all."""


async def backfill(job: Job) -> dict[str, Any]:
    """Import every file, one after the other. What was imported before is left out, so a run may be repeated."""
    site, form = job.arguments.site, _format(job.arguments.options)
    if site is None:
        raise FinalError("Which site do the events belong to? Give --site NAME.")
    for path in job.arguments.files:
        _check_readable(path)
    client = connect(job.mongodb_uri)
    task = ray.remote(num_cpus=1, max_retries=2)(import_unit)

    async def work(plan: ImportPlan, unit: Unit) -> ImportedUnit:
        return await task.remote(plan, unit)

    cores = max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
    try:
        importer = Importer(client, job.settings, work, in_flight=cores + 1)
        return {"files": [await _file(job, importer, path, site, form) for path in job.arguments.files]}
    finally:
        await client.close()


def _check_readable(path: str) -> None:
    """Before the first file is imported. Raises FinalError."""
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise FinalError(
            f"{path}: {error.strerror}. Paths are those of the node that the job runs on; nothing is imported yet."
        ) from error


async def _file(job: Job, importer: Importer, path: str, site: str, form: Format) -> dict[str, Any]:
    job.progress.begin(f"{path}: events imported")
    seen = 0

    def show(report: ImportReport) -> None:
        nonlocal seen
        job.progress.advance(report.events - seen)
        seen = report.events

    stream, raw = open_source(path)
    try:
        report = await importer.run(
            stream,
            site,
            form,
            None,
            on_unit=show,
            on_bad=lambda line, _: print(f"{path}: line {line.number}: {line.reason}"),
        )
    finally:
        stream.close()
        if raw is not None:
            raw.close()
    return {
        "file": path,
        "lines": report.lines,
        "events": report.events,
        "bots": report.bots,
        "bad": report.bad,
        "skipped": report.skipped,
        "bad_lines": [{"line": line.number, "reason": line.reason} for line in report.listed[:LISTED]],
    }


def _format(options: tuple[str, ...]) -> Format:
    for form in FORMATS:
        if f"--{form}" in options:
            return form
    raise FinalError("In which format are the files? Give --ndjson, --clf or --combined.")


def main() -> None:
    run("backfill", backfill, options=[f"--{form}" for form in FORMATS], reads_files=True, once=True)


if __name__ == "__main__":
    main()

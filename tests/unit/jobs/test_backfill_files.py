"""Files that a backfill cannot read are told before the first one is imported."""

from pathlib import Path
from typing import Any

import pytest

from jobs.backfill import backfill
from pistats.errors import FinalError
from pistats.jobs.arguments import JobArguments
from pistats.jobs.job import Job
from pistats.jobs.progress import Progress
from pistats.settings import Settings


async def test_a_missing_file_is_named_and_nothing_is_imported(tmp_path: Path) -> None:
    there, missing = tmp_path / "there.log", tmp_path / "missing.log"
    there.touch()
    said: list[str] = []
    arguments = JobArguments(site="news", files=(str(there), str(missing)), options=("--clf",))
    nothing: Any = None  # neither MongoDB nor Ray is asked
    job = Job(Settings(), "mongodb://127.0.0.1:1", arguments, "r", nothing, nothing, "live", Progress(say=said.append))

    with pytest.raises(FinalError, match=r"missing\.log: No such file.*the node that the job runs on"):
        await backfill(job)

    assert said == []

"""Handing jobs to Ray's job API, and asking what became of them."""

import asyncio
import shlex
from collections.abc import Mapping
from typing import Any

import orjson

from pistats.errors import UnavailableError
from pistats.jobs.arguments import JobArguments
from pistats.settings import Settings

ENDED_WITHOUT_RESULT = ("FAILED", "STOPPED")
NOT_FOR_JOBS = {"oidc", "dashboard", "http", "ingest"}
"""Sections that no job reads. Ray shows a job's environment to who has the token, and one of them holds a secret."""
LOG_CHARS = 2_000
"""The end of a job's log that goes into the message of its failure."""


class RayJobs:
    """The job API of the cluster that this process knows the token of. Its calls block a thread, not the loop."""

    def __init__(self, address: str, environment: Mapping[str, str]) -> None:
        """`address`: of the cluster's GCS, or the job API's URL. `environment`: of every job; see `job_settings`."""
        self._address = address
        self._environment = dict(environment)
        self._client: Any = None

    async def launch(self, run_id: str, job: str, arguments: JobArguments) -> None:
        """Submit a run, as `pistats.jobs.submit.Launch`. Raises UnavailableError when Ray doesn't take it."""
        command = shlex.join(["python", "-m", f"jobs.{job}", *arguments.words()])
        try:
            await asyncio.to_thread(self._submit, run_id, command)
        except (RuntimeError, ConnectionError) as error:
            raise UnavailableError(f"Ray doesn't take the job {run_id}: {_last_line(error)}") from error

    async def failure(self, run_id: str) -> str | None:
        """Why the run has ended without a word of its own; None when it runs, or has ended well, or isn't known."""
        try:
            return await asyncio.to_thread(self._failure, run_id)
        except (RuntimeError, ConnectionError):
            return None

    def _submit(self, run_id: str, command: str) -> None:
        self._connected().submit_job(
            entrypoint=command, submission_id=run_id, runtime_env={"env_vars": self._environment}
        )

    def _failure(self, run_id: str) -> str | None:
        info = self._connected().get_job_info(run_id)
        if info.status.value not in ENDED_WITHOUT_RESULT:
            return None
        log = self._connected().get_job_logs(run_id)[-LOG_CHARS:].strip()
        return f"{info.message or info.status.value}\n{log}"

    def _connected(self) -> Any:
        if self._client is None:
            from ray.job_submission import JobSubmissionClient

            self._client = JobSubmissionClient(self._address)
        return self._client


def job_settings(settings: Settings, mongodb_uri: str) -> dict[str, str]:
    """What a job reads of these settings, as its environment, so that it works by the same ones."""
    changed = settings.model_dump(mode="json", exclude_defaults=True, exclude=NOT_FOR_JOBS)
    environment: dict[str, str] = {}
    for name, value in changed.items():
        if isinstance(value, dict):
            environment |= {f"PISTATS_{name}__{key}".upper(): _text(one) for key, one in value.items()}
        else:
            environment[f"PISTATS_{name}".upper()] = _text(value)
    return environment | {"PISTATS_DATA": str(settings.data), "PISTATS_MONGODB__URI": mongodb_uri}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__

"""Runs the load generator in a process of its own, so that what measures does not slow what sends."""

import subprocess
import sys
from typing import Any

import orjson

from benchmarks.figures import Figure, Target


def start_load(port: int, **options: object) -> subprocess.Popen[bytes]:
    """Start `benchmarks.http_load`; options as its flags are called. None leaves one out."""
    command = [sys.executable, "-m", "benchmarks.http_load", "--port", str(port)]
    for name, value in options.items():
        if value is not None:
            command += [f"--{name}", str(value)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def finish_load(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait for it and give its summary, whatever became of the requests: see `failures`."""
    output, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    summary: dict[str, Any] = orjson.loads(output)
    return summary


def failures(summary: dict[str, Any], of: str) -> Figure:
    """How many of its requests were not accepted, which should be none; `details` of a result say why they were not."""
    return Figure(f"{of}: requests that failed", sum(summary["errors"].values()), "", Target("<=", 0))


def load(port: int, **options: object) -> dict[str, Any]:
    """Run it to its end. Raises RuntimeError when any request was not accepted."""
    summary = finish_load(start_load(port, **options))
    if summary["errors"]:
        raise RuntimeError(f"requests were not accepted: {summary['errors']}")
    return summary

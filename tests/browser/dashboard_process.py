"""The process of a dashboard under test: what `python -m dashboard` does, once everything is imported."""

import os
from collections.abc import Mapping
from pathlib import Path

from dashboard.run import main as run


def main(environment: Mapping[str, str], directory: Path) -> None:
    """Serves in this environment and working directory until SIGTERM."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    run()

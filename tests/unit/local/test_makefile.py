"""`make venv` on a machine that is not as it has to be. No package is installed here: each try ends before that."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RECORDER = '#!/bin/sh\necho "$@" >> calls\nexit %d\n'
OLD = """#!/bin/sh
exec python3 -c 'import sys; sys.version_info = (3, 10, 2); sys.version = "3.10.2 (main)"; exec(sys.argv[1])' "$2"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make venv` looks at."""
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    return tmp_path


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(checkout), "venv", "PYTHON=./python"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_python_that_is_too_old_is_told_with_the_way_out(checkout: Path) -> None:
    executable(checkout / "python", OLD)

    made = make(checkout)

    assert made.returncode == 2
    assert "piStats needs Python 3.11 or newer, this is 3.10.2: make PYTHON=/path/to/python3.11" in made.stderr
    assert not (checkout / ".venv").exists()


def test_an_environment_that_failed_halfway_is_made_again(checkout: Path) -> None:
    executable(
        checkout / ".venv/bin/python", RECORDER % 1
    )  # as `venv` leaves it where Debian's python3-venv is missing
    executable(checkout / "python", RECORDER % 0)

    make(checkout)

    assert "-m venv .venv" in (checkout / "calls").read_text().splitlines()

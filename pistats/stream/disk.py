"""The few things a log asks of a disk, narrow enough to be simulated, torn and failed in tests."""

import os
from pathlib import Path
from typing import Protocol


class OpenFile(Protocol):
    """A file that its one writer fills at explicit positions."""

    def write(self, position: int, data: bytes) -> None:
        """Write all of `data` at `position`; not yet durable. May raise OSError with a part written."""

    def sync(self) -> None:
        """Make content and length durable. After an OSError nothing about the un-synced content is known."""

    def truncate(self, length: int) -> None:
        """Cut the file to `length` bytes; not yet durable."""

    def close(self) -> None:
        """Release the file; says nothing about durability."""


class Disk(Protocol):
    """Directories and small files. What is called durable survives a power loss once the call has returned."""

    def make_directory(self, directory: Path) -> None:
        """Make the directory and its parents, durably. No error when it is there."""

    def names(self, directory: Path) -> list[str]:
        """Names in the directory, in any order; none when there is no such directory."""

    def size(self, path: Path) -> int:
        """Length in bytes. Raises FileNotFoundError."""

    def create(self, path: Path, content: bytes) -> None:
        """Make a file with this content, atomically and durably. Raises FileExistsError when the name is taken."""

    def replace(self, path: Path, content: bytes) -> None:
        """Put this content under the name, atomically but not durably: for files that can be made again."""

    def open(self, path: Path) -> OpenFile:
        """Open an existing file for writing."""

    def read(self, path: Path, position: int, length: int) -> bytes:
        """At most `length` bytes from `position`; fewer at the end. Raises FileNotFoundError."""

    def remove(self, path: Path) -> None:
        """Remove the name, durably. No error when it is gone."""

    def used_share(self, directory: Path) -> float:
        """Share of the file system in use, 0 to 1, as `df` shows it."""


class _RealFile:
    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, position: int, data: bytes) -> None:
        written = os.pwrite(self._fd, data, position)
        while written < len(data):
            written += os.pwrite(self._fd, memoryview(data)[written:], position + written)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def truncate(self, length: int) -> None:
        os.ftruncate(self._fd, length)

    def close(self) -> None:
        os.close(self._fd)


class RealDisk:
    """The machine's own file system."""

    def make_directory(self, directory: Path) -> None:
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            _sync_directory(path.parent)

    def names(self, directory: Path) -> list[str]:
        try:
            return os.listdir(directory)  # noqa: PTH208 - on the append path; a Path per name costs more than the call
        except FileNotFoundError:
            return []

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def create(self, path: Path, content: bytes) -> None:
        temporary = self._write_temporary(path, content, durable=True)
        try:
            os.link(temporary, path)  # unlike rename, refuses a name that is taken
        finally:
            temporary.unlink()
        _sync_directory(path.parent)

    def replace(self, path: Path, content: bytes) -> None:
        self._write_temporary(path, content, durable=False).replace(path)

    def open(self, path: Path) -> OpenFile:
        return _RealFile(path)

    def read(self, path: Path, position: int, length: int) -> bytes:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _read_all(fd, position, length)
        finally:
            os.close(fd)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        _sync_directory(path.parent)

    def used_share(self, directory: Path) -> float:
        usage = os.statvfs(directory)
        used = usage.f_blocks - usage.f_bfree
        return used / max(1, used + usage.f_bavail)

    @staticmethod
    def _write_temporary(path: Path, content: bytes, *, durable: bool) -> Path:
        temporary = path.with_name(f"{path.name}{TEMPORARY}{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        return temporary


TEMPORARY = ".tmp-"
"""Marks a file that is being made; what a crash leaves of them is removed at the next start."""


def _read_all(fd: int, position: int, length: int) -> bytes:
    data = os.pread(fd, length, position)
    if len(data) == length:
        return data
    pieces = [data]
    while data and (missing := length - sum(map(len, pieces))) > 0:
        data = os.pread(fd, missing, position + length - missing)
        pieces.append(data)
    return b"".join(pieces)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

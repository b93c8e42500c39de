"""Where the warehouse's files are: a folder of this machine, or what speaks S3. Paths are relative to the root.

A file is written once, whole, and never changed: whoever has its path reads the same bytes until it is deleted.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

SCHEME = "://"

ROLLUPS = "_rollups"
"""Folder of the groups' rollups, beside the groups' folders of events: no group can be called so."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What the storage says of a file. `written_time` in Unix ms by the storage's clock."""

    path: str
    bytes: int
    written_time: int


class Storage:
    """The files below one root. A path that `create` has returned from survives the loss of power."""

    def __init__(self, root: str | Path) -> None:
        """`root`: a folder, or an address that pyarrow's file systems know, such as `s3://bucket/prefix`."""
        self.remote = SCHEME in str(root)
        if self.remote:
            self.filesystem, base = fs.FileSystem.from_uri(str(root))
        else:
            self.filesystem, base = fs.LocalFileSystem(), str(Path(root).absolute())
        self._base = base.rstrip("/")

    def location(self, path: str) -> str:
        """The path as `filesystem` wants it; on this machine, the absolute path of the file."""
        return f"{self._base}/{path}"

    @contextmanager
    def create(self, path: str) -> Iterator[pa.NativeFile]:
        """A new file to write into, durable when the block ends. When the block raises, nothing useful is there."""
        location = self.location(path)
        if not self.remote:
            Path(location).parent.mkdir(parents=True, exist_ok=True)
        with self.filesystem.open_output_stream(location) as stream:
            yield stream
        if not self.remote:
            self._sync(Path(location))

    def open(self, path: str) -> pa.NativeFile:
        """The file, to read anywhere in it. Raises FileNotFoundError."""
        return self.filesystem.open_input_file(self.location(path))

    def size(self, path: str) -> int:
        """Its length in bytes. Raises FileNotFoundError."""
        info = self.filesystem.get_file_info(self.location(path))
        if info.type is not fs.FileType.File:
            raise FileNotFoundError(self.location(path))
        return int(info.size)

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files. One that is gone already is no error, so this may be repeated."""
        for path in paths:
            with suppress(FileNotFoundError):
                self.filesystem.delete_file(self.location(path))

    def list(self, folder: str) -> list[StoredFile]:
        """Every file below a folder, in no order; none when there is no such folder."""
        selector = fs.FileSelector(self.location(folder), allow_not_found=True, recursive=True)
        return [
            StoredFile(info.path[len(self._base) + 1 :], int(info.size), int(info.mtime.timestamp() * 1000))
            for info in self.filesystem.get_file_info(selector)
            if info.type is fs.FileType.File
        ]

    def delete_folder(self, folder: str) -> None:
        """Remove a folder with everything in it. May be repeated."""
        with suppress(FileNotFoundError):
            self.filesystem.delete_dir(self.location(folder))

    def delete_group(self, group_name: str) -> None:
        """Remove everything that a consumer group has here: its events and its rollups. May be repeated."""
        self.delete_folder(group_name)
        self.delete_folder(f"{ROLLUPS}/{group_name}")

    def _sync(self, file: Path) -> None:
        """The bytes, and every name on the way from the root: a new file is lost with a folder that is not on disk."""
        _fsync(file)
        for folder in file.parents:
            _fsync(folder)
            if str(folder) == self._base:
                break


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

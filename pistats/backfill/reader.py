"""Cuts a file into units, and leaves out those that were imported before."""

import gzip
import hashlib
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pistats.backfill.unit import Unit
from pistats.errors import InputError

UNIT_BYTES = 12_000_000
"""Of one unit: 50,000 to 60,000 lines of an access log, some 300 MB of memory in the process that does it."""
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class KnownUnit:
    """A unit that some group has: where it ends, the digest of its file up to there, and whether every group has it."""

    end: int
    digest: str
    everywhere: bool


Known = Mapping[int, Sequence[KnownUnit]]
"""The known units by the byte where they begin, in the order of their ends."""


def open_source(path: str) -> tuple[BinaryIO, BinaryIO | None]:
    """The file to read, unpacked if it is gzip by content, and the file below it, which knows how far it is read.

    `-` is standard input. Raises OSError.
    """
    raw: BinaryIO = sys.stdin.buffer if path == "-" else Path(path).open("rb")  # noqa: SIM115 - the caller closes it
    peeked = raw.peek(2)[:2]  # type: ignore[attr-defined]
    stream: BinaryIO = gzip.open(raw) if peeked == GZIP_MAGIC else raw  # type: ignore[assignment]  # noqa: SIM115
    return stream, None if path == "-" else raw


class UnitReader:
    """Goes through a file once. Counts what it left out in `skipped_lines`.

    What some group has already is cut as it was cut then, so that no group gets a line twice.
    """

    def __init__(self, stream: BinaryIO, known: Known, unit_bytes: int = UNIT_BYTES) -> None:
        self._stream = stream
        self._known = known
        self._unit_bytes = unit_bytes
        self._hash = hashlib.blake2b(digest_size=32)
        self._buffer = b""
        self.skipped_lines = 0

    def __iter__(self) -> Iterator[Unit]:
        """The units that some group lacks. Raises InputError where a packed file is damaged or ends too soon."""
        try:
            yield from self._units()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(
                f"The file cannot be unpacked to its end ({error}): it is damaged, or was cut short. Import it again "
                "when it is whole: nothing is imported twice."
            ) from error

    def _units(self) -> Iterator[Unit]:
        start, line = 0, 1
        while True:
            unit = self._find(start)
            data = self._take_lines() if unit is None else self._take(unit.end - start)
            if not data:
                return
            self._hash.update(data)
            lines = data.count(b"\n")
            if unit is not None and unit.everywhere:
                self.skipped_lines += lines
            else:
                yield Unit(start, start + len(data), line, self._hash.hexdigest(), data)
            start += len(data)
            line += lines

    def _find(self, start: int) -> KnownUnit | None:
        """The known unit that the file goes on with from here."""
        for unit in self._known.get(start, ()):
            length = unit.end - start
            self._fill(length)
            if len(self._buffer) < length:
                return None
            tried = self._hash.copy()
            tried.update(self._buffer[:length])
            if tried.hexdigest() == unit.digest:
                return unit
        return None

    def _fill(self, length: int) -> None:
        while len(self._buffer) < length:
            more = self._stream.read(length - len(self._buffer))
            if not more:
                return
            self._buffer += more

    def _take(self, length: int) -> bytes:
        data, self._buffer = self._buffer[:length], self._buffer[length:]
        return data

    def _take_lines(self) -> bytes:
        """About `unit_bytes`, to the end of a line; less at the end of the file."""
        self._fill(self._unit_bytes)
        end = self._buffer.find(b"\n", min(self._unit_bytes, len(self._buffer)) - 1) if self._buffer else -1
        if end >= 0:
            return self._take(end + 1)
        return self._take(len(self._buffer)) + self._stream.readline()


def known_units(by_group: Mapping[str, Set[tuple[int, int, str]]]) -> Known:
    """The (start, end, digest) that each group has, as `UnitReader` wants them."""
    units: dict[int, list[KnownUnit]] = {}
    for start, end, digest in set().union(*by_group.values()):
        everywhere = all((start, end, digest) in has for has in by_group.values())
        units.setdefault(start, []).append(KnownUnit(end, digest, everywhere))
    return {start: sorted(found, key=lambda unit: unit.end) for start, found in units.items()}

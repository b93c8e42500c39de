"""A file is cut into units in the same way whenever it is read, and what was imported is left out."""

import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from pistats.backfill.reader import Known, KnownUnit, UnitReader, known_units, open_source
from pistats.backfill.unit import Unit
from pistats.errors import InputError

LINES = [f"line {number} {'x' * (number % 13)}\n".encode() for number in range(500)]
CONTENT = b"".join(LINES)


def units(content: bytes, done: Known | None = None, size: int = 1_000) -> list[Unit]:
    return list(UnitReader(io.BytesIO(content), done or {}, size))


def known(found: list[Unit]) -> Known:
    return known_units({"live": {(unit.start, unit.end, unit.digest) for unit in found}})


@pytest.mark.parametrize("content", [CONTENT, CONTENT.rstrip(b"\n"), CONTENT + b"\n\n", b"", b"x" * 5_000])
@pytest.mark.parametrize("size", [1, 7, 1_000, 100_000])
def test_units_are_whole_lines_and_give_the_file(content: bytes, size: int) -> None:
    found = units(content, size=size)
    assert b"".join(unit.data for unit in found) == content
    assert all(unit.data.endswith(b"\n") for unit in found[:-1])
    assert [unit.first_line for unit in found] == [content[: unit.start].count(b"\n") + 1 for unit in found]


def test_the_same_file_has_nothing_left_to_import() -> None:
    reader = UnitReader(io.BytesIO(CONTENT), known(units(CONTENT)), 1_000)
    assert list(reader) == []
    assert reader.skipped_lines == 500


def test_a_file_that_has_grown_has_its_new_lines_left() -> None:
    grown = CONTENT + b"one more\nand another\n"
    left = units(grown, known(units(CONTENT)))
    assert b"".join(unit.data for unit in left) == b"one more\nand another\n"
    assert left[0].first_line == 501


def test_an_interrupted_import_goes_on_where_it_was() -> None:
    all_of_it = units(CONTENT)
    done = known([all_of_it[0], all_of_it[2]])
    assert units(CONTENT, done) == [all_of_it[1], *all_of_it[3:]]


def test_another_size_of_units_imports_nothing_again() -> None:
    assert units(CONTENT, known(units(CONTENT, size=700)), size=3_000) == []


def test_another_file_that_begins_alike_is_imported_from_where_it_differs() -> None:
    other = CONTENT[:2_500] + b"different\n" + CONTENT[2_500:]
    left = units(other, known(units(CONTENT)))
    assert b"".join(unit.data for unit in left) == other[left[0].start :]
    assert 0 < left[0].start <= 2_500


def test_what_one_group_lacks_is_done_again_as_it_was_cut() -> None:
    found = units(CONTENT, size=700)
    has = {(unit.start, unit.end, unit.digest) for unit in found}
    partly = known_units({"live": has, "later": has - {(found[1].start, found[1].end, found[1].digest)}})
    assert partly[found[0].start] == [KnownUnit(found[0].end, found[0].digest, everywhere=True)]
    assert units(CONTENT, partly, size=3_000) == [found[1]]


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    packed, plain = tmp_path / "a.log", tmp_path / "b.log.gz"
    packed.write_bytes(gzip.compress(CONTENT))
    plain.write_bytes(CONTENT)
    for path in (packed, plain):
        stream, raw = open_source(str(path))
        assert raw is not None
        with stream, raw:
            assert [unit.digest for unit in UnitReader(stream, {}, 1_000)] == [unit.digest for unit in units(CONTENT)]


@pytest.mark.parametrize("damage", [lambda packed: packed[:-8], lambda packed: packed[:40] + b"\xff" * 80])
def test_a_packed_file_that_is_damaged_is_an_error_that_says_so(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "access.log.gz"
    path.write_bytes(damage(gzip.compress(CONTENT)))
    stream, _ = open_source(str(path))
    with stream, pytest.raises(InputError, match="cut short"):
        list(UnitReader(stream, {}, 1_000))

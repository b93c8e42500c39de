"""CSV: what it holds comes back, and no cell is a formula."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pistats.csv_export import FORMULA, inert, to_csv


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_rows_come_back_as_they_were() -> None:
    data = to_csv(["page", "views"], [['/a,"b"', 3], ["/ü\n2", -1.5], [None, 0]])
    assert read(data) == [["page", "views"], ['/a,"b"', "3"], ["/ü\n2", "-1.5"], ["", "0"]]


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("http://evil.example")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\u00a0=1", "＝1"]
)
def test_formulas_are_made_inert(text: str) -> None:
    assert read(to_csv([text], [[text]])) == [[f"'{text}"], [f"'{text}"]]


def test_numbers_stay_numbers() -> None:
    assert inert(-5) == -5
    assert inert(0.5) == 0.5


@given(st.text())
def test_no_cell_begins_like_a_formula(text: str) -> None:
    for row in read(to_csv(["x"], [[text]]))[1:]:
        for cell in row:
            assert not FORMULA.match(cell)
            assert not cell.strip().startswith(("=", "+", "-", "@"))

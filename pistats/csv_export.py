"""Reports as CSV that a spreadsheet opens without running anything.

Page paths, names and properties are written by whoever sends events. A spreadsheet takes a cell that begins with one of
`= + - @`, a tab or a carriage return for a formula; an apostrophe in front makes it text
(https://owasp.org/www-community/attacks/CSV_Injection). Numbers are ours and stay numbers, negative ones, too.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

FORMULA = re.compile(r"[\t\r\n]|[\s\ufeff\x00-\x1f]*[=+\-@＝＋－＠]")
"""The start of a cell that a spreadsheet may compute. The wide forms do in East Asian versions; blanks hide nothing."""

BYTE_ORDER_MARK = "\ufeff"
"""Without it, some spreadsheets read UTF-8 as another encoding."""


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """UTF-8 CSV (RFC 4180) with a header line. Text is inert; None is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([inert(column) for column in columns])
    writer.writerows([inert(value) for value in row] for row in rows)
    return (BYTE_ORDER_MARK + text.getvalue()).encode("utf-8", "replace")


def inert(value: Any) -> Any:
    """The value as a cell that no spreadsheet computes: numbers as they are, text with an apostrophe where needed."""
    if value is None or isinstance(value, (int, float)):
        return value
    text = str(value)
    return f"'{text}" if FORMULA.match(text) else text

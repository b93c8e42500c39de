"""Every row of docs/ENRICHMENT.md is true, and every step has a table."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from pistats.enrich import STEPS, EnrichContext, Failure, Reason, enrich

PAGE = (Path(__file__).parents[3] / "docs" / "ENRICHMENT.md").read_text()
ROW = re.compile(r"^\| `(\{.*\})` \| `(\{.*\})` \|$", re.MULTILINE)
RECORD = {
    "site": "news",
    "received_time": 1_764_000_000_000,
    "event_id": "e1",
    "visitor_id": "v1",
    "name": "page_view",
}


def rows() -> list[Any]:
    found = []
    for section in PAGE.split("\n## ")[1:]:
        step = section.split("\n", 1)[0]
        for given, expected in ROW.findall(section):
            found.append(pytest.param(given, expected, id=f"{step}: {given}"[:90]))
    return found


@pytest.fixture(scope="module")
def context() -> EnrichContext:
    return EnrichContext.standard()


@pytest.mark.parametrize(("given", "expected"), rows())
def test_row(context: EnrichContext, given: str, expected: str) -> None:
    event = enrich(orjson.dumps({**RECORD, **orjson.loads(given)}), 0, 0, context)

    assert not isinstance(event, Failure)
    wanted = orjson.loads(expected)
    assert {field: event[field] for field in wanted} == wanted


def test_the_page_has_the_steps_in_their_order() -> None:
    headings = re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)

    assert headings == [name for name, _ in STEPS]


def test_the_page_has_every_reason() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE.split("\n## ")[0], re.MULTILINE)) == {
        reason.value for reason in Reason
    }

"""A condition becomes SQL with parameters; what cannot be asked is refused by name."""

from typing import Any

import pytest

from pistats.errors import QueryError
from pistats.warehouse.condition import compile_condition

HOSTILE = "'; DROP TABLE events; -- $c9 {x} \x00"


def test_client_text_is_only_in_the_parameters() -> None:
    tree = {
        "all": [
            {"field": "path", "op": op, "value": HOSTILE}
            for op in ("eq", "ne", "lt", "gte", "starts_with", "ends_with", "contains")
        ]
        + [
            {"field": "source", "op": "in", "value": [HOSTILE]},
            {"field": f"properties.{HOSTILE}", "op": "eq", "value": HOSTILE},
            {"none": [{"field": f"properties.{HOSTILE}", "op": "exists"}]},
        ]
    }

    condition = compile_condition(tree)

    assert "DROP" not in condition.sql
    assert condition.needs_session
    assert condition.event_columns == {"path", "properties"}
    assert set(condition.parameters) == {f"c{number}" for number in range(len(condition.parameters))}


def nested(depth: int) -> dict[str, Any]:
    return {"all": [nested(depth - 1)]} if depth else {"field": "path", "value": "/"}


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ("path = 1", "expected an object"),
        ({}, "nothing"),
        ({"all": {}}, "expected a list"),
        ({"all": [], "any": []}, "stands alone"),
        ({"field": "path", "value": "/", "sql": "1"}, "sql as well"),
        ({"field": "is_bot; --", "value": "x"}, "is unknown"),
        ({"field": "properties.", "value": "x"}, "is unknown"),
        ({"field": ["path"], "value": "x"}, "name of a field"),
        ({"field": "path", "op": "like", "value": "%"}, "'like' is unknown"),
        ({"field": "path", "op": ["eq"], "value": "%"}, "is unknown"),
        ({"field": "path", "value": 1}, "path is text"),
        ({"field": "path", "value": True}, "path is text"),
        ({"field": "path", "value": "\ud800"}, "expected text"),
        ({"field": "properties.\ud800", "value": "x"}, "name of a field"),
        ({"field": "event_time", "value": 10**30}, "or a number"),
        ({"field": "event_time", "value": float("nan")}, "or a number"),
        ({"field": "path", "value": {"$ne": 1}}, "expected text"),
        ({"field": "path", "op": "in", "value": "x"}, "takes a list"),
        ({"field": "path", "op": "in", "value": ["x"] * 1_001}, "at most 1,000"),
        ({"field": "event_time", "op": "gt", "value": "now"}, "a number"),
        ({"field": "is_bot", "value": "yes"}, "true or false"),
        ({"field": "path", "op": "exists", "value": "yes"}, "takes true"),
        ({"field": "path", "op": "contains", "value": "x" * 3_000}, "up to 2,048"),
        (nested(9), "too large"),
        ({"all": [{"field": "path", "value": "/"}] * 300}, "too large"),
    ],
)
def test_what_cannot_be_asked(tree: Any, says: str) -> None:
    with pytest.raises(QueryError, match=says) as refused:
        compile_condition(tree)

    assert "filter" in str(refused.value)


def test_names_of_campaign_parameters_mean_what_they_became() -> None:
    assert compile_condition({"field": "utm_source", "value": "mail"}) == compile_condition(
        {"field": "source", "value": "mail"}
    )

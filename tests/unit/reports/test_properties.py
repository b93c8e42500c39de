"""The properties of an event: counted by value, hostile names and values as they are."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from pistats.errors import QueryError
from pistats.reports.properties import PropertiesAnswer, PropertyQuery, PropertyReport
from pistats.warehouse.engine import QueryEngine
from tests.table_events import TableSource, a_site, an_event

DAY = date(1970, 1, 2)
NOON = 36 * 3_600_000


@pytest.fixture
def engine() -> Iterator[QueryEngine]:
    engine = QueryEngine(threads=1, concurrent=1)
    yield engine
    engine.close()


def signup(number: int, properties: Any, **fields: Any) -> dict[str, Any]:
    given = {"name": "signup", "event_time": NOON + number, "properties": properties, "visitor_id": f"v{number}"}
    return an_event(number, **{**given, **fields})


async def ask(engine: QueryEngine, events: list[dict[str, Any]], **asked: Any) -> PropertyReport:
    query = PropertyQuery(**{"from_date": DAY, "to_date": DAY, "event": "signup", **asked})
    return await PropertiesAnswer(TableSource(events), engine).of(a_site(), query)


async def test_values_are_counted_by_events_and_visitors(engine: QueryEngine) -> None:
    events = [
        signup(1, {"plan": "pro", "price": 12.5}),
        signup(2, {"plan": "pro"}, visitor_id="v1"),
        signup(3, {"plan": "free", "nested": {"a": [1]}}),
        signup(4, None),
        signup(5, {"plan": "pro"}, is_bot=True),
        signup(6, {"plan": "pro"}, event_time=NOON + 86_400_000),
        an_event(7, event_time=NOON, properties={"plan": "pro"}),
    ]
    report = await ask(engine, events)
    assert report.names == ("plan", "nested", "price")
    assert report.name == "plan"
    assert report.rows == (("pro", 2, 1), ("free", 1, 1), (None, 1, 1))
    assert (await ask(engine, events, name="nested")).rows == ((None, 3, 2), ('{"a":[1]}', 1, 1))
    assert (await ask(engine, events, name="no such")).name == "plan"


@pytest.mark.parametrize("name", ["a/b~c", '"', "$.x", "*", "'; DROP TABLE picked", "\u202e", "a.b", "[0]"])
async def test_hostile_names_are_names(engine: QueryEngine, name: str) -> None:
    report = await ask(engine, [signup(1, {name: "**x**", "other": 1})], name=name)
    assert set(report.names) == {name, "other"}
    assert report.rows == (("**x**", 1, 1),)


async def test_filters_pick_events_by_what_they_or_their_sessions_are(engine: QueryEngine) -> None:
    events = [
        an_event(1, event_time=NOON, visitor_id="v", path="/in", channel="Direct"),
        signup(2, {"plan": "pro"}, visitor_id="v", country="IN"),
        signup(3, {"plan": "free"}),
    ]
    own = {"field": "country", "op": "eq", "value": "IN"}
    of_session = {"field": "entry_page", "op": "eq", "value": "/in"}
    for condition in (own, of_session):
        assert (await ask(engine, events, filter=condition)).rows == (("pro", 1, 1),)


async def test_without_properties_there_is_nothing_to_show(engine: QueryEngine) -> None:
    report = await ask(engine, [signup(1, None)])
    assert (report.names, report.name, report.rows) == ((), None, ())


@pytest.mark.parametrize("wrong", [{"event": ""}, {"event": "x" * 65}, {"name": ""}, {"name": "\ud800"}])
def test_questions_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(QueryError):
        PropertyQuery(**{"from_date": DAY, "to_date": DAY, "event": "signup", **wrong})

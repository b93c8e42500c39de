"""History over HTTP: the numbers of the report, in the columns asked for, and refusals that say what to do."""

from typing import Any

import orjson
import pytest

from tests.contract.query_api.conftest import Reader

HISTORY = "/v1/history"
DAYS = {"from": "2026-11-02", "to": "2026-11-04"}


async def answer_of(reader: Reader, **asked: Any) -> dict[str, Any]:
    answer = await reader.get(HISTORY, **{**DAYS, **asked})
    assert answer.status == 200, answer.body
    return dict(answer.json())


@pytest.mark.usefixtures("warehouse")
async def test_days_come_with_the_columns_that_were_asked_for(reader: Reader) -> None:
    found = await answer_of(reader, metrics="visitors,views,events")

    assert found["columns"] == ["time", "visitors", "views", "events"]
    assert found["rows"] == [["2026-11-02", 10, 10, 11], ["2026-11-03", 10, 20, 21], ["2026-11-04", 10, 30, 31]]
    assert found["totals"] == {"visitors": 10, "views": 60, "events": 63}
    assert (found["comparison"], found["truncated"]) == (None, False)


@pytest.mark.usefixtures("warehouse")
async def test_other_dimensions_filters_and_bots(reader: Reader) -> None:
    condition = orjson.dumps({"field": "country", "op": "eq", "value": "DE"}).decode()

    pages = await answer_of(reader, metrics="views", by="page", limit=2)
    german = await answer_of(reader, by="", filter=condition)
    bots = await answer_of(reader, metrics="events", by="", bots="only")

    assert (pages["rows"], pages["truncated"], pages["totals"]) == ([["/0", 30], ["/1", 20]], True, {"views": 60})
    assert german["totals"] == {"visitors": 4}
    assert bots["totals"] == {"events": 3}


@pytest.mark.usefixtures("warehouse")
async def test_the_period_before_stands_beside(reader: Reader) -> None:
    found = await answer_of(
        reader, **{"from": "2026-11-03", "to": "2026-11-03", "metrics": "views", "compare": "previous"}
    )

    assert found["rows"] == [["2026-11-03", 20]]
    assert found["comparison"] == {
        "from": "2026-11-02",
        "to": "2026-11-02",
        "until": None,
        "rows": [["2026-11-02", 10]],
        "totals": {"views": 10},
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"metrics": "views,clicks"}, "visitors, sessions, views"),
        ({"metrics": ""}, "name at least one"),
        ({"by": "time,page,country,device"}, "3 at most"),
        ({"granularity": "minute"}, "granularity: Input should be 'hour', 'day', 'week' or 'month'"),
        ({"granularty": "week"}, "granularty: this is not known here"),
        ({"limit": "100000"}, "limit: Input should be less than or equal to 10000"),
        ({"segment": "buyers"}, "narrow by `filter`"),
        ({"filter": "country=DE"}, "`filter` is not JSON"),
        ({"filter": "[]"}, "has to be a JSON object"),
        ({"filter": '{"field": "password", "op": "eq", "value": "x"}'}, "unknown"),
        ({"filter": '{"field": "country", "op": "eq", "value": "\\ud800"}'}, "`filter`"),
        ({"from": "2026-11-04", "to": "2026-11-01"}, "swap `from` and `to`"),
        ({"from": "1990-01-01", "to": "2026-01-01"}, "days"),
        ({"compare": "previous_week"}, "compare: Input should be 'previous', 'previous_month' or 'previous_year'"),
        ({"from": "0001-01-01", "to": "0001-01-02", "compare": "previous"}, "ask for later days"),
        ({"from": "2025-01-01", "to": "2026-11-01", "granularity": "hour"}, "granularity=day"),
    ],
)
async def test_what_cannot_be_answered_is_refused_and_the_detail_says_what_to_change(
    reader: Reader, asked: dict[str, str], said: str
) -> None:
    answer = await reader.get(HISTORY, **{**DAYS, **asked})

    assert (answer.status, answer.json()["type"]) == (422, "/problems/invalid-request")
    assert said in answer.json()["detail"]

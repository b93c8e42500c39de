"""The ledger over HTTP: rows of the asked days in the site's time zone, and whether they come out."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.consumer.tally import Tally, update_of
from tests.contract.query_api.conftest import Reader

Database = AsyncDatabase[dict[str, Any]]
BERLIN = ZoneInfo("Europe/Berlin")


async def count(group: Database, when: datetime, tally: Tally) -> None:
    minute = int(when.timestamp()) * 1000
    await group["ledger"].insert_one({"_id": {"partition": 0, "minute": minute}, **update_of(tally)["$inc"]})


async def test_the_days_are_those_of_the_site(reader: Reader, group: Database) -> None:
    for day, hour in ((1, 23), (2, 0), (2, 23), (3, 0)):
        await count(group, datetime(2026, 11, day, hour, 30, tzinfo=BERLIN), Tally(dead_lettered=day * 100 + hour))

    answer = (await reader.get("/v1/ledger", **{"from": "2026-11-02", "to": "2026-11-02"})).json()

    assert [row["dead_lettered"] for row in answer["rows"]] == [200, 223]
    assert answer["rows"][0]["minute"] == "2026-11-01T23:30:00.000Z"
    assert answer["totals"]["appended"] == 423
    assert answer["balanced"] is True


async def test_a_row_that_does_not_come_out_says_so(reader: Reader, group: Database) -> None:
    await count(group, datetime(2026, 11, 2, tzinfo=BERLIN), Tally(enriched=3))

    answer = (await reader.get("/v1/ledger", **{"from": "2026-11-02", "to": "2026-11-02"})).json()

    assert (answer["balanced"], answer["rows"][0]["balanced"], answer["rows"][0]["difference"]) == (False, False, 0)


async def test_without_days_it_is_today(reader: Reader, group: Database) -> None:
    await count(group, datetime.now(BERLIN).replace(second=0, microsecond=0), Tally(dead_lettered=1))

    assert len((await reader.get("/v1/ledger")).json()["rows"]) == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"from": "yesterday"}, "from: expected a date as YYYY-MM-DD"),
        ({"from": "2026-02-30"}, "from: day"),
        ({"to": "1764000000"}, "to: expected a date"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "swap `from` and `to`"),
        ({"from": "0001-01-01", "to": "9999-12-31"}, "since the system began"),
        ({"form": "2026-11-02"}, "form: this is not known here"),
    ],
)
async def test_a_range_that_cannot_be_is_refused_and_the_detail_says_what_to_change(
    reader: Reader, asked: dict[str, str], said: str
) -> None:
    answer = await reader.get("/v1/ledger", **asked)

    assert (answer.status, answer.json()["type"]) == (422, "/problems/invalid-request")
    assert said in answer.json()["detail"]

"""Too much, too long, or without MongoDB: a problem that says when to ask again, and never a hang."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from pistats.local.ports import free_ports
from pistats.settings import QuerySettings, Settings
from pistats.sites import SiteKeys
from tests.contract.query_api.conftest import Reader, serving

HISTORY = "/v1/history?metrics=visitors,sessions&from=2026-11-02&to=2026-11-04"


def bounded(settings: Settings, **query: Any) -> Settings:
    return settings.model_copy(update={"query": QuerySettings(**query)})


@pytest.mark.usefixtures("warehouse")
async def test_a_query_that_takes_too_long_is_stopped(settings: Settings, mongo_uri: str, keys: SiteKeys) -> None:
    with serving(bounded(settings, timeout_s=0.001), mongo_uri) as api:
        answer = await Reader(api, keys.read_key).get(HISTORY)

    assert (answer.status, answer.json()["type"]) == (504, "/problems/query-timeout")
    assert "Ask for fewer days" in answer.json()["detail"]


@pytest.mark.usefixtures("warehouse")
async def test_more_queries_than_may_wait_are_refused(settings: Settings, mongo_uri: str, keys: SiteKeys) -> None:
    with serving(bounded(settings, concurrent=1, max_waiting=0), mongo_uri) as api:
        reader = Reader(api, keys.read_key)
        answers = await asyncio.gather(*(reader.get(HISTORY) for _ in range(20)))
        again = await reader.get(HISTORY)

    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {200, 429}
    assert again.status == 200
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.json()["type"] == "/problems/overloaded"
    assert int(refused.headers["retry-after"]) > 0


async def test_without_mongodb_it_says_so(settings: Settings) -> None:
    (nobody,) = free_ports(1)
    with serving(settings, f"mongodb://127.0.0.1:{nobody}/?serverSelectionTimeoutMS=200") as api:
        answer = await Reader(api, "some-key").get("/v1/live")
        page = await Reader(api, None).get("/docs")

    assert (answer.status, answer.json()["type"]) == (503, "/problems/unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert page.status == 200

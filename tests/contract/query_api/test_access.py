"""Only the read key of a site reads that site, and every refusal is a problem."""

import pytest

from pistats.settings import Settings
from pistats.sites import SiteKeys
from tests.contract.query_api.conftest import Answer, Reader, serving

LIVE = "/v1/live"


async def ask(api: str, authorization: str | None) -> Answer:
    headers = {} if authorization is None else {"authorization": authorization}
    return await Reader(api, None).ask("GET", LIVE, headers=headers)


async def test_the_read_key_reads(reader: Reader) -> None:
    answer = await reader.get(LIVE)

    assert answer.status == 200
    assert answer.json()["current_visitors_5m"] == 0
    assert len(answer.json()["views_per_minute"]) == 30


@pytest.mark.parametrize("authorization", [None, "Bearer nobody", "Bearer", "Basic abc", "Bearer \xfc"])
async def test_without_a_known_key_nothing_is_answered(api: str, keys: SiteKeys, authorization: str | None) -> None:
    answer = await ask(api, authorization)

    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == "/problems/unknown-key"


async def test_a_write_key_cannot_read(api: str, keys: SiteKeys) -> None:
    answer = await ask(api, f"Bearer {keys.write_key}")

    assert answer.status == 403
    assert answer.json()["type"] == "/problems/write-key"


async def test_unknown_paths_and_methods_are_problems(reader: Reader) -> None:
    missing, wrong = await reader.get("/v1/nothing"), await reader.post(LIVE, {})

    assert (missing.status, missing.json()["type"]) == (404, "/problems/not-found")
    assert (wrong.status, wrong.json()["type"]) == (405, "/problems/method-not-allowed")
    assert "/api/docs" in missing.json()["detail"]
    assert wrong.json()["detail"].startswith("Ask with GET")


async def test_no_answer_may_be_kept(reader: Reader) -> None:
    answers = [await reader.get(path) for path in (LIVE, "/v1/nothing", "/openapi.json")]

    assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * 3


async def test_the_description_says_where_it_is(reader: Reader) -> None:
    page, document = await reader.get("/docs"), (await reader.get("/openapi.json")).json()

    assert page.status == 200
    assert b"/api/openapi.json" in page.body
    assert document["servers"] == [{"url": "/api"}]
    assert {"/v1/live", "/v1/live/stream"} <= set(document["paths"])


async def test_too_many_requests_at_a_time_are_refused(settings: Settings, mongo_uri: str) -> None:
    with serving(settings, mongo_uri, max_requests=0) as address:
        answer = await ask(address, None)

    assert (answer.status, answer.json()["type"]) == (429, "/problems/overloaded")
    assert int(answer.headers["retry-after"]) > 0

"""docs/API.md is that of this code: its examples are sent as they stand, its tables are complete."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jsonschema
import pytest

from pistats.settings import Settings
from serve_app.query.app import build_query_app
from serve_app.query.parameters import FunnelBody
from serve_app.query.problem import KINDS
from tests.contract.query_api.conftest import Reader

PAGE = (Path(__file__).parents[3] / "docs" / "API.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^curl .*?(?=^curl |^```)", re.MULTILINE | re.DOTALL)
HOST = "http://127.0.0.1:8000/api"


@dataclass(frozen=True, slots=True)
class Call:
    """A request, as curl would make it."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: str | None


def call(command: str) -> Call:
    """What a curl command of the page asks for; fails on an option that it should not need."""
    words = shlex.split(command.replace("\\\n", " "))
    url, method, data, as_query = "", "", [], False
    options = iter(words[1:])
    for word in options:
        match word:
            case "-G":
                as_query = True
            case "-d" | "--data-urlencode":
                data.append(next(options))
            case "-H":
                assert next(options) in ("Authorization: Bearer READ_KEY", "Content-Type: application/json")
            case "-X":
                method = next(options)
                assert method == "DELETE", "curl knows the others by itself"
            case "-N":
                pass
            case "--max-time":
                next(options)
            case _:
                url = word
    assert url.startswith(HOST), command
    parts = urlsplit(url.removeprefix(HOST))
    given = [tuple(one.split("=", 1)) for one in data] if as_query else []
    query = (*parse_qsl(parts.query), *given)
    body = data[0] if data and not as_query else None
    return Call(method or ("GET" if body is None else "POST"), parts.path, query, body)


CALLS = [call(command) for command in COMMAND.findall(PAGE)]


def described(document: dict[str, Any], one: Call) -> dict[str, Any]:
    """The operation of the OpenAPI document that a call is of."""
    for path, methods in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", ".+", path), one.path) and one.method.lower() in methods:
            return dict(methods[one.method.lower()])
    raise AssertionError(f"the API has no {one.method} {one.path}")


@pytest.mark.parametrize("one", CALLS, ids=lambda one: f"{one.method} {one.path}?{urlencode(one.query)}"[:60])
async def test_an_example_is_understood(reader: Reader, one: Call) -> None:
    if one.path.endswith("/stream"):
        async with reader.session() as session, session.get(reader.api + one.path) as answer:
            assert answer.status == 200
        return
    headers = {"content-type": "application/json"}
    answer = await reader.ask(one.method, one.path, params=one.query, data=one.body, headers=headers)

    as_expected = {"GET": (200, 404), "DELETE": (200, 202)} if "/visitors/" in one.path else {}
    assert answer.status in as_expected.get(one.method, (200,)), answer.body


async def test_every_call_has_an_example_and_every_parameter_is_on_the_page(reader: Reader) -> None:
    document = (await reader.get("/openapi.json")).json()

    shown = [described(document, one)["operationId"] for one in CALLS]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["operationId"] in shown, f"no example of {method.upper()} {path}"
            for parameter in operation.get("parameters", ()):
                assert parameter["in"] == "path" or f"`{parameter['name']}`" in PAGE, f"{path}: {parameter['name']}"


def test_every_problem_is_documented_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(/problems/[^`]+)` \| (\d+) \|", PAGE, re.MULTILINE))

    assert rows == {kind.type: str(kind.status) for kind in KINDS}


def test_every_answer_has_an_example_of_its_shape() -> None:
    document = build_query_app(Settings(), "mongodb://127.0.0.1:1").openapi()
    checked = []
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for kind, content in operation["responses"]["200"]["content"].items():
                if kind != "application/json":
                    assert content["example"], path
                    continue
                name = content["schema"]["$ref"].rpartition("/")[2]
                shape = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
                (shown,) = document["components"]["schemas"][name]["examples"]
                jsonschema.validate(shown, shape)
                checked.append(name)
    assert len(checked) >= 7


def test_the_example_of_a_funnel_is_one() -> None:
    (shown,) = FunnelBody.model_json_schema()["examples"]

    assert FunnelBody.model_validate(shown).steps[1].name == "purchase"

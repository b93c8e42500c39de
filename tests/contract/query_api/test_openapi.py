"""Whatever the OpenAPI document allows, and much that it does not, is answered as the document says: never by a fault.

schemathesis makes the requests, against a real server over a real mongod and a little warehouse.
"""

import time
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS

from tests.contract.query_api.conftest import Reader

BUDGET_S = 40.0
"""For all operations together."""
EXAMPLES = 40
"""Of each operation and mode, if there is time."""

CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
NOT_HTTP = b"Invalid HTTP request received."
"""What uvicorn says by itself of an address of more than 64 KB."""
ENDLESS = "/v1/live/stream"


def operations(api: str) -> list[Any]:
    schema = schemathesis.openapi.from_url(api + "/openapi.json")
    return [one.ok() for one in schema.exclude(path=ENDLESS).get_all_operations()]


def ask(operation: Any, mode: GenerationMode, reader: Reader, until: float) -> int:
    """Ask what can be asked until the time is over: how many questions it were."""
    asked = 0
    headers = {"authorization": f"Bearer {reader.key}"}
    checks = [CHECKS.get_one(name) for name in CHECKED]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Case) -> None:
        nonlocal asked
        if time.monotonic() < until:
            answer = case.call(base_url=reader.api, headers=headers, timeout=30)
            if answer.content != NOT_HTTP:
                case.validate_response(answer, checks=checks)
            asked += 1

    one()
    return asked


@pytest.mark.usefixtures("warehouse")
def test_every_operation_answers_as_described(reader: Reader) -> None:
    found = operations(reader.api)
    share = BUDGET_S / len(found) / 2
    asked = {}
    for operation in found:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            asked[operation.label, mode.value] = ask(operation, mode, reader, time.monotonic() + share)
    print(asked)

    assert all(asked.values()), f"a machine too busy to ask: {asked}"

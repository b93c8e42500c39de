"""Refusals of the query API as RFC 9457 problems: every answer that is not a success has this shape."""

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pymongo.errors import PyMongoError
from starlette.exceptions import HTTPException

from pistats.errors import (
    ConfigurationError,
    InputError,
    OverloadedError,
    PistatsError,
    QueryError,
    QueryTimeoutError,
    RetryableError,
)
from pistats.ingest.problem import ProblemKind

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

UNREADABLE = ProblemKind("/problems/unreadable-body", 400, "The body cannot be read")
UNKNOWN_KEY = ProblemKind("/problems/unknown-key", 401, "The read key is missing or unknown")
WRITE_KEY = ProblemKind("/problems/write-key", 403, "A write key cannot read")
NOT_FOUND = ProblemKind("/problems/not-found", 404, "There is nothing here")
NOT_ALLOWED = ProblemKind("/problems/method-not-allowed", 405, "This method is not allowed here")
INVALID = ProblemKind("/problems/invalid-request", 422, "The request cannot be understood")
TOO_LARGE = ProblemKind("/problems/too-large", 413, "The body is too large")
OVERLOADED = ProblemKind("/problems/overloaded", 429, "Too many queries at a time")
INTERNAL_ERROR = ProblemKind("/problems/internal-error", 500, "An error of the server")
UNAVAILABLE = ProblemKind("/problems/unavailable", 503, "This cannot be answered at the moment")
TIMED_OUT = ProblemKind("/problems/query-timeout", 504, "The query took too long")

KINDS = (
    UNREADABLE,
    UNKNOWN_KEY,
    WRITE_KEY,
    NOT_FOUND,
    NOT_ALLOWED,
    TOO_LARGE,
    INVALID,
    OVERLOADED,
    INTERNAL_ERROR,
    UNAVAILABLE,
    TIMED_OUT,
)
_BY_STATUS = {kind.status: kind for kind in KINDS}

REPORT_REFUSALS = (UNKNOWN_KEY, WRITE_KEY, INVALID, OVERLOADED, UNAVAILABLE, TIMED_OUT)
"""Of every call that reads the warehouse."""

RETRY_AFTER_S = 1
"""After MongoDB did not answer: a new primary is there within seconds."""


class QueryProblemError(Exception):
    """A refusal, ready to be answered."""

    def __init__(self, kind: ProblemKind, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}


class Problem(BaseModel):
    """What every refusal looks like."""

    type: str
    title: str
    status: int
    detail: str


def documented(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for its OpenAPI description."""
    return {
        kind.status: {
            "description": kind.title,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for kind in kinds
    }


def answer_problems(app: FastAPI) -> None:
    """Have every error of `app` answered as a problem."""
    app.add_exception_handler(QueryProblemError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(PistatsError, _failed)
    app.add_exception_handler(PyMongoError, _failed)
    app.add_exception_handler(Exception, _unexpected)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QueryProblemError)
    return problem_response(error.kind, error.detail, error.headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return problem_response(INVALID, _said(error.errors()))


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = _BY_STATUS.get(error.status_code)
    if kind is None:
        title = HTTPStatus(error.status_code).phrase
        kind = ProblemKind(f"/problems/http-{error.status_code}", error.status_code, title)
    headers = dict(error.headers or {})
    return problem_response(kind, _how_to_mend(error, headers), headers)


def _how_to_mend(error: HTTPException, headers: Mapping[str, str]) -> str:
    """Starlette's own refusals only say what they are called."""
    if error.detail != HTTPStatus(error.status_code).phrase:
        return str(error.detail)
    if error.status_code == NOT_FOUND.status:
        return "No call has this path: /api/docs lists all that there are."
    if error.status_code == NOT_ALLOWED.status:
        return f"Ask with {headers.get('Allow', 'another method')}: /api/docs lists all calls."
    return str(error.detail)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, QueryTimeoutError):
        return problem_response(TIMED_OUT, str(error))
    if isinstance(error, QueryError | InputError | ConfigurationError):
        return problem_response(INVALID, str(error))
    if isinstance(error, RetryableError):
        kind = OVERLOADED if isinstance(error, OverloadedError) else UNAVAILABLE
        return problem_response(kind, str(error), {"retry-after": str(max(1, math.ceil(error.retry_after_s)))})
    if isinstance(error, PyMongoError):
        log.warning("MongoDB did not answer a query: %s", error)
        return problem_response(UNAVAILABLE, "MongoDB does not answer: ask again.", {"retry-after": str(RETRY_AFTER_S)})
    return await _unexpected(request, error)


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    log.exception("a query failed", exc_info=error)
    return problem_response(INTERNAL_ERROR, "The error is in the server's log.")


def problem_response(kind: ProblemKind, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The refusal as it is sent."""
    problem = Problem(type=kind.type, title=kind.title, status=kind.status, detail=detail)
    return JSONResponse(problem.model_dump(), kind.status, headers, MEDIA_TYPE)


def _said(errors: Sequence[Any]) -> str:
    """Each complaint with the name of what it is about; never the input itself."""
    return "; ".join(_complaint(one) for one in errors[:5])


def _complaint(one: Any) -> str:
    place, body = _place(one["loc"]), one["loc"][:1] == ("body",)
    match one["type"]:
        case "extra_forbidden":
            return f"{place}: this is not known here; /api/docs lists what is"
        case "json_invalid":
            return f"the body is not JSON: {one.get('ctx', {}).get('error', 'it cannot be parsed')}"
        case "model_attributes_type" if body and len(one["loc"]) == 1:
            return "the body: send a JSON object, with Content-Type: application/json"
        case _:
            return f"{place}: {one['msg'].removeprefix('Value error, ')}"


def _place(location: Sequence[Any]) -> str:
    """Such as `from` or `steps.0.name`: without query, path or body before it. A client's own name is cut short."""
    return ".".join(str(part)[:40] for part in location[1:]) or "the body"

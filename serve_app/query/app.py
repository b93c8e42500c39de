"""The query API as one FastAPI application. Build it inside the process that serves."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata
from typing import Any

from fastapi import APIRouter, FastAPI
from pymongo import AsyncMongoClient

from pistats.clock import Clock
from pistats.consumer.groups import reader_group
from pistats.live import LiveView
from pistats.live.source import LiveSource
from pistats.mongo.client import Document, connect
from pistats.settings import Settings
from pistats.sites import SiteStore
from pistats.warehouse.condition import NUMBER_FIELDS, OPS, SESSION_FIELDS, TEXT_FIELDS
from serve_app.query import events, funnel, history, ledger, live, retention, visitors
from serve_app.query.erasures import PATIENCE_S, Erasures
from serve_app.query.guard import MAX_REQUESTS, Guard
from serve_app.query.live_numbers import LiveNumbers, NewView
from serve_app.query.parts import Parts
from serve_app.query.problem import Problem, answer_problems
from serve_app.query.shapes import Shape
from serve_app.query.shown_group import GroupParts, ShownGroup
from serve_app.query.warehouse import Warehouse

DESCRIPTION = f"""
Read what piStats has counted of a site. Every call needs the site's read key, `Authorization: Bearer READ_KEY`. The
key is a secret, and can erase: ask from a server. Browsers of other origins get no answer that their scripts may read.

**Days** are `2026-11-30`, in the site's time zone; `to` is inclusive; without both it is the last 30 days. Times are
ISO 8601 in UTC, or Unix milliseconds in events. `complete_through`: everything that was received before it is counted.

**Metrics.** `visitors` are distinct and exact, for each row and for the totals, so rows do not add up. `bounce_rate` is
0 to 1; `visit_duration` and `engaged_time` are seconds per session. What has no sessions has null there.

**Conditions** (`filter`, and `where` of a funnel's step) are JSON: a field, or a group `all`, `any` or `none` of such.
`{{"all": [{{"field": "country", "op": "in", "value": ["DE", "AT"]}}, {{"none": [{{"field": "path", "op": "starts_with",
"value": "/admin"}}]}}]}}`. `op`: {", ".join(f"`{op}`" for op in OPS)}. Fields:
{", ".join(f"`{field}`" for field in (*TEXT_FIELDS, *SESSION_FIELDS, *NUMBER_FIELDS))}, `is_bot` and `properties.NAME`.

**Refusals** are `application/problem+json` with a stable `type`, and a `detail` that says how to mend them. After 429
and 503 ask again when `Retry-After` seconds have passed.
"""

ROOT_PATH = "/api"
"""Where Serve puts the application."""

ROUTERS: tuple[APIRouter, ...] = tuple(
    part.router for part in (live, history, retention, funnel, events, visitors, ledger)
)


def build_query_app(
    settings: Settings, mongodb_uri: str, max_requests: int = MAX_REQUESTS, erasure_patience_s: float = PATIENCE_S
) -> FastAPI:
    """The application, with connections of its own from its start to its end. Routes begin with `/v1`.

    `erasure_patience_s`: how long an erasure waits for the owners of partitions.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        client = connect(mongodb_uri)
        system = client[settings.database()]
        warehouse = Warehouse(settings, client)
        shown = ShownGroup(partial(reader_group, system, settings), partial(_group_parts, client, settings, warehouse))
        erasures = Erasures(system, warehouse.eraser, erasure_patience_s)
        app.state.parts = Parts(settings, SiteStore(system), shown, erasures)
        try:
            yield
        finally:
            await erasures.close()
            await shown.close()
            warehouse.close()
            await client.close()

    app = FastAPI(
        title="piStats query API",
        version=metadata.version("pistats"),
        description=DESCRIPTION,
        servers=[{"url": ROOT_PATH}],
        root_path_in_servers=False,
        docs_url="/docs",
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=lifespan,
    )
    app.add_middleware(Guard, max_requests=max_requests)
    answer_problems(app)
    for router in ROUTERS:
        app.include_router(router, prefix="/v1")
    _describe_problems(app)
    return app


def _group_parts(
    client: AsyncMongoClient[Document], settings: Settings, warehouse: Warehouse, group: str
) -> GroupParts:
    """What answers for one group. Reads nothing before the first query."""
    database = client[settings.database(group)]

    def source(view: NewView, clock: Clock, changed: Callable[[], None]) -> LiveSource[LiveView]:
        return LiveSource(database, view, clock, changed)

    return GroupParts(
        group, database, LiveNumbers(source, settings.live.updates_per_s), partial(warehouse.reports, group)
    )


def _describe_problems(app: FastAPI) -> None:
    """Put the shape of a problem into the OpenAPI document, in place of FastAPI's own shape of a validation error."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = Problem.model_json_schema()
        for shape in Shape.__subclasses__():
            if shape.__name__ in schemas and (examples := shape.model_json_schema().get("examples")):
                schemas[shape.__name__]["examples"] = examples  # FastAPI leaves out what is null in them
        for path in document["paths"].values():
            for call in path.values():
                for parameter in call.get("parameters", ()):
                    _without_null(parameter["schema"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _without_null(schema: dict[str, Any]) -> None:
    """A parameter may be left out; it cannot be null, which only Python's default for it is."""
    match schema.pop("anyOf", None):
        case [one, {"type": "null"}]:
            schema.update(one)
        case other if other is not None:
            schema["anyOf"] = other

"""The Serve applications of piStats, put on the cluster that this process has joined."""

import logging
from collections.abc import Callable

from fastapi import FastAPI
from ray import serve

from actors.logs import log_to_ray
from actors.partition_client import PartitionClient
from pistats.enrich.bot import BotFilter
from pistats.errors import UnavailableError
from pistats.ingest.accept import Ingest
from pistats.ingest.batcher import MicroBatcher
from pistats.ingest.routes import Router
from pistats.ingest.salts import DailySalts, MongoSaltStore
from pistats.ingest.site_cache import SiteCache
from pistats.mongo.client import connect
from pistats.settings import Settings
from pistats.sites import SiteStore
from pistats.topology import Topology, load_topology
from pistats.topology_cache import TopologyCache
from serve_app.ingest_asgi import IngestApp
from serve_app.query.guard import MAX_REQUESTS
from serve_app.tracker import SCRIPT

INGEST = "ingest"
"""Name of the Serve application that takes events."""
QUERY = "query"
"""Name of the Serve application that answers questions, a process of its own: no query delays an event."""
QUIET = {"enable_access_log": False, "log_level": "WARNING"}
"""Said twice: a deployment does not inherit what Serve was started with, and would write a line for every request."""
MARGIN = 100
"""Serve refuses above `max_ongoing_requests` with a bare 503; our own answer, with Retry-After, has to come first."""


def deploy_ingest(settings: Settings, mongodb_uri: str, topology: Topology) -> None:
    """Serve the ingest endpoint; returns when it answers. Idempotent: brings a running one to these settings."""
    _start_serve(settings)
    most = settings.ingest.max_pending_requests + MARGIN
    deployment = serve.deployment(
        name=INGEST,
        num_replicas=settings.http.replicas,
        max_ongoing_requests=most,
        max_queued_requests=most,
        ray_actor_options={"num_cpus": 0},
        logging_config=QUIET,
        health_check_period_s=5,
        graceful_shutdown_timeout_s=settings.ingest.append_timeout_s + 5,
    )(serve.ingress(ingest_builder(settings, mongodb_uri, topology))())
    serve.run(deployment.bind(), name=INGEST, route_prefix="/")


def deploy_query(settings: Settings, mongodb_uri: str) -> None:
    """Serve the query API; returns when it answers. Idempotent: brings a running one to these settings."""
    _start_serve(settings)
    deployment = serve.deployment(
        name=QUERY,
        num_replicas=1,
        max_ongoing_requests=MAX_REQUESTS + MARGIN,
        max_queued_requests=MAX_REQUESTS + MARGIN,
        ray_actor_options={"num_cpus": 0},
        logging_config=QUIET,
        health_check_period_s=5,
        graceful_shutdown_timeout_s=5,
    )(serve.ingress(query_builder(settings, mongodb_uri))())
    serve.run(deployment.bind(), name=QUERY, route_prefix="/api")


def _start_serve(settings: Settings) -> None:
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(
        http_options={"host": settings.http.host, "port": settings.http.port},
        logging_config=QUIET,
    )


def query_builder(settings: Settings, mongodb_uri: str) -> Callable[[], FastAPI]:
    """A function that builds the query API inside the replica."""

    def build() -> FastAPI:
        # Only here: whoever deploys needs no DuckDB, which takes 100 MB and complains when its process ends.
        from serve_app.query.app import build_query_app

        log_to_ray(logging.WARNING)
        return build_query_app(settings, mongodb_uri)

    return build


def ingest_builder(settings: Settings, mongodb_uri: str, topology: Topology) -> Callable[[], IngestApp]:
    """A function that builds the ASGI application inside the replica, with connections of its own.

    `topology`: what was in force when it was deployed; a replica soon finds out if it is no longer.
    """

    def batcher(partition: int, layout: int) -> MicroBatcher:
        return MicroBatcher(partition, PartitionClient(partition).append, settings.ingest, layout=layout)

    def build() -> IngestApp:
        log_to_ray(logging.WARNING)
        database = connect(mongodb_uri)[settings.database()]
        layout = TopologyCache(lambda: load_topology(database), topology)
        router = Router(layout, batcher, settings.stream.dedupe_window_s)
        sites = SiteCache(SiteStore(database).list, settings.ingest.site_refresh_s)
        ingest = Ingest(
            sites,
            DailySalts(MongoSaltStore(database)),
            router,
            settings.ingest,
            is_http_library=BotFilter.standard().is_http_library,
        )

        async def ready() -> None:
            """Every partition answers and the sites are known: an append can be made durable."""
            if not sites.loaded:
                raise UnavailableError("The sites are not loaded yet.")
            for partition in range(layout.known.partitions):
                state = await PartitionClient(partition).status()
                if state.state != "open" or state.refusing is not None:
                    raise UnavailableError(f"Partition {partition} stores nothing now: see `pistats status`.")

        return IngestApp(ingest, ready, SCRIPT.read_bytes(), settings)

    return build

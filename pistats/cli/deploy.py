"""`pistats deploy`: the same system on an existing Ray cluster."""

from typing import Annotated

import typer

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption
from pistats.clock import now_ms
from pistats.errors import ConfigurationError
from pistats.local import runtime
from pistats.settings import Settings


def deploy(
    address: Annotated[str, typer.Option(help="GCS address of the cluster, HOST:PORT, or `auto` on one of its nodes.")],
    mongodb_uri: Annotated[
        str | None, typer.Option(help="A MongoDB replica set that every node reaches.", envvar="MONGODB_URI")
    ] = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Put piStats on an existing Ray cluster. May be repeated: what runs already is left alone.

    The nodes need this package, the environment that `cluster.yaml` sets for Serve's HAProxy, and, for stream logs on
    local disks, the label `pistats-stream=yes` on the nodes that keep them.

    Example: pistats deploy --address 10.0.0.5:6379 --mongodb-uri 'mongodb://db1,db2,db3/?replicaSet=rs0'
    """
    from actors.connection import connected
    from pistats.cli.deployment import deploy_system

    # Absolute: a worker's working directory is a session's of Ray, and the next one would find no log there.
    settings = Settings(data=data.resolve(), **({"mongodb": {"uri": mongodb_uri}} if mongodb_uri else {}))  # type: ignore[arg-type]
    if settings.mongodb.uri is None:
        raise ConfigurationError("A cluster needs a MongoDB of its own: give --mongodb-uri or set MONGODB_URI.")
    console = Console()
    with connected(address, None), console.status("Deploying …"):
        partitions = deploy_system(settings, settings.mongodb.uri)
    data.mkdir(parents=True, exist_ok=True)
    runtime.write(
        data,
        runtime.Runtime(
            pid=0,
            ray_address=address,
            ray_token_path=None,
            mongodb_uri=settings.mongodb.uri,
            url=f"http://{settings.http.host}:{settings.http.port}",
            dashboard_url=None,
            started_time=now_ms(),
        ),
    )
    console.print(f"ready: {partitions} partitions, events to port {settings.http.port} of every node")

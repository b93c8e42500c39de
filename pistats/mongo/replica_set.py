"""A replica set of one member: initiated once, and led back to primary after every start."""

import time
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from pistats.errors import UnavailableError

NOT_YET_INITIALIZED = 94
POLL_S = 0.05


def become_primary(port: int, name: str, deadline: float, *, alive: Callable[[], None]) -> None:
    """Return once the member on `port` is a writable primary of `name`. May be repeated.

    `alive` raises when the process has ended. Raises UnavailableError at `deadline` (of `time.monotonic`).
    """
    with _direct(port) as client:
        state = "it did not answer"
        while time.monotonic() < deadline:
            alive()
            try:
                hello = client.admin.command("hello")
                if hello.get("isWritablePrimary") and hello.get("me") == f"127.0.0.1:{port}":
                    return
                state = str(hello.get("info") or hello.get("secondary"))
                _configure(client, port, name)
            except PyMongoError as error:
                state = str(error)
            time.sleep(POLL_S)
    raise UnavailableError(f"mongod on port {port} did not become primary in time: {state}. See its mongod.log.")


def _direct(port: int) -> MongoClient[dict[str, Any]]:
    return MongoClient(
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=500, connectTimeoutMS=500, appname="pistats"
    )


def _configure(client: MongoClient[dict[str, Any]], port: int, name: str) -> None:
    """Initiate the set, or give its one member the port that it has now."""
    host = f"127.0.0.1:{port}"
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALIZED:
            raise
        client.admin.command("replSetInitiate", {"_id": name, "members": [{"_id": 0, "host": host}]})
        return
    if config["members"][0]["host"] != host:
        config["members"] = [{**config["members"][0], "host": host}]
        config["version"] += 1
        client.admin.command("replSetReconfig", config, force=True)

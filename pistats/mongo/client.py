"""One way to connect to MongoDB, with time-outs that fail before a user gives up."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pymongo import AsyncMongoClient, MongoClient

Document = dict[str, Any]

SERVER_SELECTION_TIMEOUT_MS = 5_000
"""A failover takes 2 to 12 s, a restarted mongod 1 to 3 s: callers with a longer patience retry."""
CONNECT_TIMEOUT_MS = 3_000
"""A host that doesn't answer a TCP connect in three seconds is down, not slow."""
SOCKET_TIMEOUT_MS = 30_000
"""Longer than any command of ours; without it, a connection whose peer vanished would hang for ever."""

OPTIONS: dict[str, Any] = {
    "appname": "pistats",
    "tz_aware": True,
    "w": "majority",
    "retryWrites": True,
    "retryReads": True,
    "serverSelectionTimeoutMS": SERVER_SELECTION_TIMEOUT_MS,
    "connectTimeoutMS": CONNECT_TIMEOUT_MS,
    "socketTimeoutMS": SOCKET_TIMEOUT_MS,
}


def connect(uri: str) -> AsyncMongoClient[Document]:
    """A client that acknowledges a write only when a majority holds it, and gives every date with its time zone.

    No connection is made until the first command. The caller closes it: `await client.close()`.
    Options in `uri` win over ours, except the write concern: nothing here may be acknowledged and then rolled back.
    """
    return AsyncMongoClient(uri, **_options(uri))


def connect_blocking(uri: str) -> MongoClient[Document]:
    """The same for threads that may wait: a writer of the log in MongoDB."""
    return MongoClient(uri, **_options(uri))


def _options(uri: str) -> dict[str, Any]:
    """Ours, without those that the URI gives: PyMongo lets keyword arguments win over the URI."""
    given = {name.lower() for name, _ in parse_qsl(urlsplit(uri).query)}
    return {name: value for name, value in OPTIONS.items() if name == "w" or name.lower() not in given}

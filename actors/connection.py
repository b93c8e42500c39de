"""Joining the Ray cluster that a system runs on."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from actors.names import NAMESPACE
from pistats.errors import UnavailableError
from pistats.local.ray_head import ray_auth

PROBE_S = 5.0


@contextmanager
def connected(address: str, token_path: str | None) -> Iterator[None]:
    """Be a driver of the cluster at `address` until the block ends.

    `token_path`: file with the cluster's token; None: the environment decides. Raises UnavailableError when no
    cluster answers there.
    """
    if token_path is not None:
        os.environ.update(ray_auth(token_path))
    _probe(address)
    import ray  # after the environment is set: Ray reads it when it is first used

    try:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, TimeoutError, RuntimeError) as error:
        raise UnavailableError(f"No Ray cluster answers at {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _probe(address: str) -> None:
    """Raises UnavailableError when nothing listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return  # `auto`
    try:
        socket.create_connection((host, int(port)), PROBE_S).close()
    except OSError as error:
        raise UnavailableError(
            f"No Ray cluster answers at {address} ({error.strerror or error}). If `pistats up` has lost it, it ends "
            "by itself: start it again."
        ) from error

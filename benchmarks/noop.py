"""A second Serve application that does nothing but answer: the ceiling that Serve itself puts on requests a second."""

import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from actors.connection import connected
from benchmarks.running_system import System

NAME = "benchmark-noop"
PATH = "/benchmark-noop"
BODY = b'{"accepted":1,"duplicates":0,"rejected":[]}'

Message = MutableMapping[str, Any]


class NoopApp:
    """Reads a request and answers as an accepted event is answered; the same server, the same proxy, no work."""

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] == "http":
            while (await receive()).get("more_body"):
                pass
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
            await send({"type": "http.response.start", "status": 202, "headers": headers})
            await send({"type": "http.response.body", "body": BODY})
            return
        while scope["type"] == "lifespan":
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return


def build() -> NoopApp:
    """Called in the replica."""
    return NoopApp()


@contextmanager
def noop_application(system: System) -> Iterator[str]:
    """Serve it under a path of its own until the block ends; gives the path."""
    with connected(system.runtime.ray_address, system.runtime.ray_token_path):
        from ray import cloudpickle, serve  # Ray reads its environment at import, and `connected` sets it

        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # replicas cannot import the benchmarks
        deployment = serve.deployment(
            name=NAME,
            max_ongoing_requests=5_000,
            max_queued_requests=5_000,
            ray_actor_options={"num_cpus": 0},
        )(serve.ingress(build)())
        serve.run(deployment.bind(), name=NAME, route_prefix=PATH)
        try:
            yield PATH
        finally:
            serve.delete(NAME)

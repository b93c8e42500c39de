"""Open live pages without their browsers: what a browser holds open, in a process of its own, reading every frame.

    PISTATS_COOKIE=NAME=VALUE python -m benchmarks.live_viewers --url URL --site NAME --viewers 99 --marker NAME

Each viewer has a Streamlit session that has drawn the live page, and the page's own socket. Prints "ready" when all
are there. When its input ends, prints one JSON object: when each viewer saw each number of marker events first.
"""

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time
from typing import Any
from urllib.parse import urlencode
from zlib import MAX_WBITS, decompress

import orjson
import uvloop
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.asyncio.client import ClientConnection, connect

STREAM, SUBPROTOCOL = "/_stcore/stream", "streamlit"
OPEN_TOGETHER = 5
"""Pages that are opened at a time: one costs the dashboard some processor time, and people don't come all at once."""


@dataclass(slots=True)
class Sightings:
    """What one viewer saw."""

    frames: int = 0
    bytes: int = 0
    seen: list[tuple[int, float]] = field(default_factory=list)
    """(number of markers, Unix time in seconds at which so many were shown first)."""


class Viewer:
    """One open page. `open` returns when the page is drawn and the first frame is read."""

    def __init__(self, url: str, site: str, cookie: str, marker: str) -> None:
        self._url = url.replace("http", "ws", 1)
        self._site = site
        self._look: dict[str, Any] = {
            "additional_headers": {"Cookie": cookie},
            "origin": url,
            "compression": None,
            "max_size": None,
        }
        self._count = re.compile(rb'"event":"%s","count":(\d+)' % marker.encode())
        self._tasks: list[asyncio.Task[None]] = []
        self.sightings = Sightings()

    async def open(self) -> None:
        page = await connect(f"{self._url}{STREAM}", subprotocols=[SUBPROTOCOL], **self._look)  # type: ignore[list-item]
        message = BackMsg()
        message.rerun_script.query_string = urlencode({"site": self._site})
        await page.send(message.SerializeToString())
        await page.recv()
        self._tasks.append(asyncio.create_task(_drain(page)))
        live = await connect(f"{self._url}/live/socket?{urlencode({'site': self._site})}", **self._look)
        last = self._markers(await live.recv())
        self._tasks.append(asyncio.create_task(self._read(live, last)))

    def close(self) -> None:
        """Ends it. Raises what ended it earlier."""
        for task in self._tasks:
            if task.done():
                task.result()
                raise RuntimeError("a viewer's socket was closed")
            task.cancel()

    async def _read(self, live: ClientConnection, last: int) -> None:
        while True:
            frame = await live.recv()
            now, number = time(), self._markers(frame)
            self.sightings.frames += 1
            self.sightings.bytes += len(frame)
            self.sightings.seen += [(one, now) for one in range(last + 1, number + 1)]
            last = max(last, number)

    def _markers(self, frame: str | bytes) -> int:
        """The number that a frame shows; 0 when it has none, because events have not changed."""
        text = frame.encode() if isinstance(frame, str) else decompress(frame, wbits=-MAX_WBITS)
        found = self._count.search(text)
        return int(found[1]) if found else 0


async def _drain(page: ClientConnection) -> None:
    async for _ in page:
        pass


async def run(url: str, site: str, cookie: str, viewers: int, marker: str) -> Sequence[Sightings]:
    """What they saw until the input ended. Raises what ended one of them earlier."""
    pages = [Viewer(url, site, cookie, marker) for _ in range(viewers)]
    for first in range(0, viewers, OPEN_TOGETHER):
        await asyncio.gather(*(page.open() for page in pages[first : first + OPEN_TOGETHER]))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for page in pages:
        page.close()
    return [page.sightings for page in pages]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("url", "site", "marker"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--viewers", type=int, required=True)
    chosen = parser.parse_args()
    print(orjson.dumps(uvloop.run(run(**vars(chosen), cookie=os.environ["PISTATS_COOKIE"]))).decode())


if __name__ == "__main__":
    main()

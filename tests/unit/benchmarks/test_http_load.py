"""The load generator when a server closes connections: what every client sends again is no failure, the rest is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

from benchmarks.http_load import Load, LoadResult, requests_of

REQUESTS = 20
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> bytes | None:
    """The body of the next one; None when the client has closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
    return await reader.readexactly(length)


def answer(writer: asyncio.StreamWriter, *, accepted: int = 1, more: bytes = b"") -> None:
    body = b'{"accepted":%d,"duplicates":%d,"rejected":[]}' % (accepted, 1 - accepted)
    writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n%s\r\n%s" % (len(body), more, body))


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    tasks = set[asyncio.Task[None]]()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(connection(reader, writer)))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*tasks)


async def loaded(port: int) -> LoadResult:
    return await Load(port, requests_of("key", "/v1/events", 1, REQUESTS, 1), connections=2).run()


async def test_a_request_that_crosses_with_the_end_of_a_used_connection_is_sent_again() -> None:
    stored, losses = set[bytes](), count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            body = await read_request(reader)
            if body is None:
                return
            answer(writer, accepted=int(body not in stored))
            stored.add(body)
        lost = await read_request(reader)
        if lost is not None and next(losses) % 2:
            stored.add(lost)  # before the connection ended: its sender cannot know

    async with serving(serve) as port:
        result = await loaded(port)
    assert (result.requests, result.errors) == (REQUESTS, {})
    assert result.resent > result.had_already > 0
    assert len(stored) == REQUESTS


async def test_a_connection_that_the_server_takes_leave_of_is_not_used_again() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await read_request(reader) is None:
            return
        answer(writer, more=b"Connection: close\r\n")
        assert await read_request(reader) is None

    async with serving(serve) as port:
        result = await loaded(port)
    assert (result.requests, result.errors, result.resent) == (REQUESTS, {}, 0)


async def test_a_new_connection_that_ends_without_an_answer_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async with serving(serve) as port:
        result = await loaded(port)
    assert (result.requests, result.resent, result.errors) == (0, 0, {"connection lost": REQUESTS})

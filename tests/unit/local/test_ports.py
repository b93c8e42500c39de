"""Why a port cannot be listened on, in words that say what to do."""

import socket

import pytest

from pistats.local.ports import free_ports, is_free, refusal


def test_a_free_port_is_not_refused() -> None:
    (port,) = free_ports(1)
    assert refusal(port, "127.0.0.1") is None
    assert is_free(port)


def test_a_taken_port_is_named_with_the_option_that_chooses_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refusal(port, "127.0.0.1", "--dashboard-port")
    assert said == f"Port {port} is in use by another program: stop it, or choose another one with --dashboard-port."


@pytest.mark.parametrize("host", ["192.0.2.1", "::1", "no-such-host.invalid"])
def test_an_address_that_is_not_this_machines_is_not_called_a_taken_port(host: str) -> None:
    (port,) = free_ports(1)
    said = refusal(port, host)
    assert said is not None
    assert said.startswith(f"Nothing can listen on {host} (")
    assert "--host" in said

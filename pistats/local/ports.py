"""TCP ports: whether one can be listened on, and free ones on loopback."""

import errno
import socket


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could bind `port` now."""
    return refusal(port, host) is None


def refusal(port: int, host: str, flag: str = "--port") -> str | None:
    """Why no server could bind `port` of `host` now, and what to do about it; None: one could.

    `flag`: the option that chooses the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return _in_words(error, port, host, flag)
    return None


def _in_words(error: OSError, port: int, host: str, flag: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use by another program: stop it, or choose another one with {flag}."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} is for root only: choose one above 1023 with {flag}, and put a front proxy on {port}."
    return f"Nothing can listen on {host} ({error.strerror}): choose an IPv4 address of this machine with --host."


def free_ports(count: int) -> list[int]:
    """`count` different ports that nothing listens on at this moment; another process may take one before you do."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()

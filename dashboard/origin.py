"""Which sockets and forms come from our own pages."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def same_origin(headers: Headers) -> bool:
    """True when the request's Origin is this server's own address, or when there is none (no browser sent it).

    Browsers always send Origin with a socket and with a form that is posted; another site cannot leave it out.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
        own = urlsplit(f"{parts.scheme}://{headers.get('host', '')}")
        default = DEFAULT_PORTS.get(parts.scheme)
        return bool(parts.hostname) and (parts.hostname, parts.port or default) == (own.hostname, own.port or default)
    except ValueError:
        return False

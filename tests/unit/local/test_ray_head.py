"""The environment that every process of a system shares."""

from pathlib import Path

import pytest

from pistats.local.ray_head import ray_head

HAPROXY_MAX_BYTES = 97
"""What HAProxy takes as a socket's path: the kernel's 108, less what it appends itself."""
NODE_ID = "a" * 56


def test_sockets_have_short_paths_however_deep_the_data_directory_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / ("deep/" * 30)
    data.mkdir(parents=True)
    monkeypatch.setattr("pistats.local.ray_head.gettempdir", lambda: "/tmp")

    environment = ray_head(data).environment

    for name in ("RAY_SERVE_HAPROXY_SOCKET_PATH", "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH"):
        path = Path(environment[name])
        assert len(str(path.parent / NODE_ID / path.name)) <= HAPROXY_MAX_BYTES

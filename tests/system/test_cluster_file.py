"""`cluster.yaml`: what Ray's own schema and loader say of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pistats.local.ray_head import serve_environment

CLUSTER_FILE = Path(__file__).parents[2] / "cluster.yaml"


@pytest.fixture
def cluster() -> dict[str, Any]:
    return dict(yaml.safe_load(CLUSTER_FILE.read_text()))


def test_ray_up_accepts_the_file(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(cluster)

    validate_config(prepared)
    assert prepared["provider"]["type"] == "local"
    assert prepared["head_node_type"] in prepared["available_node_types"]


def test_every_node_gets_the_environment_of_haproxy_mode(cluster: dict[str, Any]) -> None:
    per_machine = ("PORT", "RAY_ACCEL", "RAY_raylet")  # ports of its own are for systems side by side on one machine
    wanted = [name for name in serve_environment(Path(), Path()) if not any(part in name for part in per_machine)]

    environment = "\n".join(cluster["setup_commands"])

    assert [name for name in wanted if f"export {name}=" not in environment] == []
    for commands in (cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]):
        assert all(command.startswith(". ~/.pistats/ray.env;") for command in commands)

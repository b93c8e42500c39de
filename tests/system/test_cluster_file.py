"""`cluster.yaml`: what Ray's own schema and loader say of it."""

import os
import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from pistats.local.ray_head import END_OF_DEFAULTS, serve_environment

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


def test_the_setup_commands_write_an_environment_that_bash_reads(cluster: dict[str, Any], tmp_path: Path) -> None:
    install, *others = cluster["setup_commands"]
    assert install == "make -C ~/pistats venv"  # fetches 600 MB; `make demo` runs the same target
    assert re.search(r"^venv:", (CLUSTER_FILE.parent / "Makefile").read_text(), re.MULTILINE)
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    for command in others:
        subprocess.run(["bash", "-c", command], env=home, check=True)
    shown = subprocess.run(
        ["bash", "-c", ". ~/.pistats/ray.env; env -0"], env=home, check=True, capture_output=True, text=True
    )

    environment = dict(line.split("=", 1) for line in shown.stdout.split("\0") if line)
    assert environment["RAY_SERVE_HAPROXY_BALANCE_ALGORITHM"] == END_OF_DEFAULTS
    assert Path(environment["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"]).parent.is_dir()
    module, name = environment["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"].split(":")
    assert callable(getattr(import_module(module), name))


def test_ray_knows_every_option_of_the_start_commands(cluster: dict[str, Any]) -> None:
    from ray.scripts.scripts import start, stop

    for commands in (cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]):
        for command in commands:
            assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0, command
            words = shlex.split(command.replace("$RAY_HEAD_IP", "192.0.2.10"))
            words = words[words.index("ray") + 1 :]
            ray_command = {"start": start, "stop": stop}[words[0]]
            ray_command.make_context(words[0], words[1:])  # raises for an option that it doesn't know

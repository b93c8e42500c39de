"""What is changed about `ray start`."""

import inspect

from ray._private import node, services
from ray._private.ray_constants import KV_HEAD_NODE_ID_KEY, KV_NAMESPACE_JOB

from actors.ray_start import JOB_API, NOTHING, with_job_api


def test_the_dashboard_process_serves_the_job_api() -> None:
    command = ["python", "dashboard.py", "--port=1", NOTHING, "--disable-frontend"]
    assert with_job_api(command) == ["python", "dashboard.py", "--port=1", JOB_API]


def test_every_other_process_is_started_as_ray_wants_it() -> None:
    command = ["raylet", "--disable-frontend"]
    assert with_job_api(command) is command


def test_ray_still_has_what_is_changed() -> None:
    """A newer Ray may name these differently: then `actors/ray_start.py` has to follow."""
    assert NOTHING in inspect.getsource(services.start_api_server)
    assert callable(services.start_ray_process)
    assert callable(node.Node.start_ray_client_server)
    assert (KV_HEAD_NODE_ID_KEY, KV_NAMESPACE_JOB) == (b"head_node_id", b"job")

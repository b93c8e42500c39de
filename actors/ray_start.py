"""`ray start`, with Ray's job API and without the rest of its dashboard: `python -m actors.ray_start start --head …`.

Ray starts its dashboard whole (eleven processes) or without the job API (one, which then does nothing). Here
that one serves the job API, by a subprocess of its own: 95 MB instead of 447 MB, 1.9 % of a core instead of 3.2 %
(measured on Ray 2.60, 2 cores, idle; 1.6 % without). Ray's client server, which nothing of ours speaks to, is left out:
it took 55 MB and a port on all interfaces.
"""

from typing import Any

NOTHING = "--modules-to-load=UsageStatsHead"
"""What Ray tells its dashboard process for `--include-dashboard=false`."""
JOB_API = "--modules-to-load=JobHead"


def main() -> None:
    """Do what `ray start` does. Ends as that does."""
    from ray._private import node, services
    from ray.scripts.scripts import main as ray_command

    start_process = services.start_ray_process

    def start(command: list[str], *arguments: Any, **options: Any) -> Any:
        return start_process(with_job_api(command), *arguments, **options)

    services.start_ray_process = start
    node.Node.start_ray_client_server = lambda _: None
    ray_command()


def with_job_api(command: list[str]) -> list[str]:
    """The dashboard process's command so that it serves the job API; every other command as it is."""
    if NOTHING not in command:
        return command
    # `--disable-frontend` would leave out the HTTP server, not only the pages.
    return [JOB_API if word == NOTHING else word for word in command if word != "--disable-frontend"]


def accept_jobs() -> None:
    """Tell the job API which node jobs start on: this one. For a driver on the head node; may be repeated.

    A part of the dashboard that isn't there would do it.
    """
    import ray
    from ray._private import ray_constants

    ray._private.worker.global_worker.gcs_client.internal_kv_put(
        ray_constants.KV_HEAD_NODE_ID_KEY,
        ray.get_runtime_context().get_node_id().encode(),
        True,
        ray_constants.KV_NAMESPACE_JOB,
    )


if __name__ == "__main__":
    main()

"""The Ray of this machine, as `pistats up` starts it: its command line, and the environment all its processes share."""

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path
from tempfile import gettempdir

from pistats.local.ports import free_ports
from pistats.settings import MetricsSettings

OBJECT_STORE_BYTES = 256_000_000
"""Ray's own default is 30 % of memory. Our objects are batches of a few hundred kilobytes and jobs' small tables."""
REPLICA_PORTS = 20
"""Ports that Serve may give to replicas, one each; a new version's replicas start before the old ones stop."""
STREAM_LABEL = "pistats-stream"
"""Nodes with this label keep stream partitions on their disk."""
END_OF_DEFAULTS = "leastconn\n    option forwardfor\n    no log"
"""Serve's HAProxy doesn't say who the client is, and has no setting for it: every visitor would be 127.0.0.1. And it
sends the machine's syslog a line for each request, with address, keys and visitors' ids, which no erasure would find.
The balance algorithm is the last line of its `defaults` section, and this adds two more."""
UNREAD_S = "86400"
"""Between two of the job API's measurements of its own processes, seconds; 5 by default: half of what it takes idle."""
HAPROXY_THREADS = 4
"""On 2 cores, four threads carried 15 to 40 % more requests than one."""


@dataclass(frozen=True, slots=True)
class RayHead:
    """What is needed to start the head node of one data directory, apart from every other Ray of the machine."""

    address: str
    jobs_url: str
    """Where Ray's job API listens, for `ray job submit --address`. Loopback only, and it asks for the token."""
    command: list[str]
    environment: dict[str, str]
    token_path: Path


def ray_head(data: Path, metrics: MetricsSettings = MetricsSettings()) -> RayHead:  # noqa: B008 (frozen)
    """Command and environment for a head node with ports, sockets and a token of its own."""
    gcs, jobs, agent, metrics_port, runtime_env = free_ports(5)
    token_path = ray_token(data)
    return RayHead(
        address=f"127.0.0.1:{gcs}",
        jobs_url=f"http://127.0.0.1:{jobs}",
        command=[
            *(sys.executable, "-m", "actors.ray_start", "start", "--head", "--block"),
            "--disable-usage-stats",
            "--no-monitor",
            f"--port={gcs}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={jobs}",
            f"--dashboard-agent-listen-port={agent}",
            f"--metrics-export-port={metrics.port or metrics_port}",
            f"--runtime-env-agent-port={runtime_env}",
            "--node-ip-address=127.0.0.1",
            "--include-log-monitor=false",
            "--include-dashboard=false",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--temp-dir={ray_directory(data)}",
            f"--labels={STREAM_LABEL}=yes",
        ],
        environment={
            **ray_auth(token_path),
            **quiet_environment(metrics.enabled),
            **serve_environment(data / "haproxy", ray_directory(data) / "ha"),
            **job_environment(data),
        },
        token_path=token_path,
    )


def quiet_environment(metrics: bool = False) -> Mapping[str, str]:
    """Without what Ray measures of itself for dashboards that one machine doesn't run: a third of its idle load.

    `metrics`: somebody collects them, and ours with them.
    """
    return {
        **({} if metrics else {"RAY_enable_metrics_collection": "0", "METRICS_RECORD_INTERVAL_S": UNREAD_S}),
        "RAY_event_stats": "0",
        # How often the agent looks at every process of the machine, milliseconds; 5 s by default.
        "REPORTER_UPDATE_INTERVAL_MS": "30000",
        # The raylet looks ten times a second at its disk and at garbage, five times for workers that have nothing to do
        # for a second; and writes its whole state into a file every ten seconds.
        "RAY_local_fs_monitor_interval_ms": "1000",
        "RAY_raylet_check_gc_period_milliseconds": "1000",
        "RAY_kill_idle_workers_interval_ms": "1000",
        "RAY_debug_dump_period_milliseconds": "0",
    }


def job_environment(data: Path) -> Mapping[str, str]:
    """What a job of `ray job submit -- python -m jobs.NAME` needs: this system's data directory, and this Python."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    return {"PISTATS_DATA": str(data.resolve()), "PATH": path}


def ray_auth(token_path: Path | str) -> dict[str, str]:
    """The environment with which every process of a cluster, and every driver, shows the same token."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_path)}


def ray_token(data: Path) -> Path:
    """The file with this system's Ray token, made on first use. Whoever can read it can run code in the system."""
    path = data.resolve() / "ray.token"
    if not path.exists():
        staged = path.with_suffix(".new")  # a start that is killed here leaves no empty token behind
        staged.touch(mode=0o600)
        staged.write_text(secrets.token_hex(32))
        staged.replace(path)
    return path


def ray_directory(data: Path) -> Path:
    """Where Ray keeps sockets and logs: a short path of its own, for a socket's path may have 107 bytes at most."""
    return Path(gettempdir()) / f"pistats-{blake2s(str(data.resolve()).encode(), digest_size=5).hexdigest()}"


def serve_environment(directory: Path, sockets: Path) -> Mapping[str, str]:
    """Ray Serve behind its own HAProxy, in files and ports of this system's own. Set before Ray starts, on every node.

    Serve keeps these in fixed places by default, so that two systems on one machine would take each other's.
    `sockets`: a short path, at most 28 bytes. Serve puts a node id of 56 under it, and HAProxy takes 97 in all.
    """
    stats, metrics, fallback, first_replica = free_ports(4)
    first_replica = min(first_replica, 65_535 - 2 * REPLICA_PORTS)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": str(HAPROXY_THREADS),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(directory / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(sockets / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(directory),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(directory / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(sockets / "metrics.sock"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM": END_OF_DEFAULTS,
        # One log line and one datagram per request would cost more than the request.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        # Serve's 5 s are too short for a proxy's process to start on busy cores; it would be killed and started again.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
        # How soon a dead HAProxy is noticed: with Serve's 10 s, a killed one took 34 s to come back.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "5",
        # A client that sends nothing for a minute is gone; Serve's default is an hour.
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "60",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first_replica),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first_replica + REPLICA_PORTS),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(first_replica + REPLICA_PORTS + 1),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(first_replica + 2 * REPLICA_PORTS),
        # Serve need not watch for clients that hang up: it saves two tasks of each request.
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.middleware:middlewares",
        # Serve's controller looks at everything ten times a second; twice is soon enough for one replica.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "5000",
        # By default everything but Ray's own servers runs at nice 15: any other program would starve ingest.
        "RAY_worker_niceness": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # A machine that is busy starts slowly; Ray would give up after a minute.
        "RAY_raylet_start_wait_time_s": "120",
        # Ray looks for an accelerator in every new process; there is nothing of ours to run on one.
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }

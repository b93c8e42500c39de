"""A Ray cluster of two nodes in a process tree of its own: `two_nodes.py UNITS RESULTS`.

UNITS is a pickled list of (work, units); RESULTS becomes a list of [(node id, result), …], one for each. The cluster
ends with this process.
"""

import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from jobs.units import for_each_unit

START_TIMEOUT_S = 180.0
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


def on_its_node(work: Callable[[Any], Any], meeting: Path) -> Callable[[Any], tuple[str, Any]]:
    """`work`, and where it ran. It begins when a unit is under way on each node: a node has one core."""

    def counted(unit: Any) -> tuple[str, Any]:
        node = ray.get_runtime_context().get_node_id()
        (meeting / node).touch()
        deadline = time.monotonic() + START_TIMEOUT_S
        while len(list(meeting.iterdir())) < 2:
            assert time.monotonic() < deadline, "the other node got nothing to do"
            time.sleep(0.02)
        return node, work(unit)

    return counted


def main(units_file: Path, results_file: Path) -> None:
    meeting = results_file.with_suffix(".nodes")
    meeting.mkdir()
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        cluster.add_node(**NODE)
        ray.init(address=cluster.address, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
        asked = pickle.loads(units_file.read_bytes())
        found = [for_each_unit(units, on_its_node(work, meeting)) for work, units in asked]
        results_file.write_bytes(pickle.dumps(found))
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

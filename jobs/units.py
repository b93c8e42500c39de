"""Independent units of work as tasks of Ray Data: each anywhere, no shuffle, the results in the order of the units."""

import pickle
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import ray

U = TypeVar("U")
R = TypeVar("R")


def for_each_unit(units: Sequence[U], work: Callable[[U], R]) -> list[R]:
    """What `work` gives for each unit. A unit may be worked at twice; `work` therefore only reads.

    One unit alone is worked at here: a small site costs no process.
    Units and results travel as bytes in Arrow columns, because they are values of our own and not rows.
    """
    if len(units) == 1:
        return [work(units[0])]
    numbered = [{"number": number, "unit": pickle.dumps(unit)} for number, unit in enumerate(units)]

    def batch(rows: pa.Table) -> pa.Table:
        results = [pickle.dumps(work(pickle.loads(one))) for one in rows["unit"].to_pylist()]  # noqa: S301
        return pa.table({"number": rows["number"], "result": pa.array(results, pa.large_binary())})

    data = ray.data.from_items(numbered, override_num_blocks=len(numbered))
    found: list[dict[str, Any]] = data.map_batches(batch, batch_format="pyarrow", batch_size=1).take_all()
    return [pickle.loads(row["result"]) for row in sorted(found, key=lambda row: row["number"])]  # noqa: S301

"""DuckDB for the readers: bounded in memory, threads, time and number, and second to ingest on the processor.

Every query has a DuckDB of its own in memory. It runs in a thread with a lower priority than the rest of the machine:
on two cores the stream and the consumers come first, and a query takes what they leave.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import duckdb
import pyarrow as pa

from pistats.errors import OverloadedError, QueryError, QueryTimeoutError
from pistats.settings import Settings

Connection = duckdb.DuckDBPyConnection
T = TypeVar("T")

INTERRUPT_EVERY_S = 0.05
"""An interrupt between two statements is lost, so it is repeated until the thread has ended."""


class Events(Protocol):
    """Events that a query reads: an `EventSet` of the warehouse, or a test's."""

    def register(self, connection: Connection, name: str = ...) -> None:
        """Make the view `name` of them in this connection."""


class FoundEvents(Events, Protocol):
    """An `EventSet`, as far as readers look into it."""

    @property
    def complete_through(self) -> int | None:
        """Everything received before it (Unix ms) is in."""

    @property
    def files(self) -> Sequence[str]:
        """Where the archived events are; the path has the UTC date."""

    @property
    def waiting(self) -> pa.Table | None:
        """The events that are not archived yet; may hold some from outside the range."""


class Source(Protocol):
    """Where readers get events from: `pistats.warehouse.source.EventSource`."""

    async def events(self, site: str, from_ms: int, to_ms: int) -> FoundEvents:
        """The site's events with from_ms <= event_time < to_ms."""


class QueryEngine:
    """Runs a few queries at a time. Share one per process; every method may be called from any event loop.

    A query that waits or runs longer than `timeout_s` is stopped: QueryTimeoutError. One more than `max_waiting`
    behind those that run: OverloadedError. More memory than `memory_mb` / `concurrent`, and no disk to help:
    QueryError. A caller that is cancelled stops its query.
    """

    def __init__(
        self,
        *,
        memory_mb: int = 1_024,
        threads: int = 2,
        timeout_s: float = 30.0,
        concurrent: int = 2,
        max_waiting: int = 16,
        niceness: int = 10,
        spill: Path | None = None,
    ) -> None:
        """`spill`: the folder for what does not fit into memory; None: nothing is written to disk."""
        self._timeout_s = timeout_s
        self._memory_mb = max(64, memory_mb // concurrent)
        self._config: dict[str, Any] = {
            "memory_limit": f"{self._memory_mb}MB",
            "threads": threads,
            "temp_directory": "" if spill is None else str(spill),
            "autoinstall_known_extensions": False,
        }
        self._pool = ThreadPoolExecutor(
            concurrent, thread_name_prefix="query", initializer=_lower_priority, initargs=(niceness,)
        )
        self._room = threading.BoundedSemaphore(concurrent + max_waiting)
        self._stopping: set[asyncio.Task[None]] = set()

    @classmethod
    def standard(cls, settings: Settings) -> "QueryEngine":
        """As the settings say; what does not fit into memory goes below the data directory."""
        query = settings.query
        return cls(
            memory_mb=query.memory_mb,
            threads=query.threads,
            timeout_s=query.timeout_s,
            concurrent=query.concurrent,
            max_waiting=query.max_waiting,
            niceness=query.niceness,
            spill=settings.data / "query",
        )

    async def run(self, events: Events, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """The answer of one SELECT over the view `events`. `sql` is ours; whatever a client sent is in `parameters`."""
        return await self.call(events, lambda connection: fetch(connection, sql, parameters))

    async def call(self, events: Events, work: Callable[[Connection], T]) -> T:
        """What `work` returns, called in a thread with a connection that has the view `events`."""
        if not self._room.acquire(blocking=False):
            raise OverloadedError("Too many queries are waiting: try again in a few seconds.", retry_after_s=5)
        query = _Query(events, self._config)
        future = self._pool.submit(query.run, work)
        future.add_done_callback(lambda _: self._room.release())
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError:
            self._stop(query, future)
            raise QueryTimeoutError(
                f"The query took longer than {self._timeout_s:g} s and was stopped. Ask for fewer days, for days "
                "instead of hours, or without a filter."
            ) from None
        except asyncio.CancelledError:
            self._stop(query, future)
            raise
        except duckdb.OutOfMemoryException:
            raise QueryError(
                f"The query needs more than the {self._memory_mb} MB that it may have. Ask for fewer days or columns."
            ) from None

    def close(self) -> None:
        """Take no more queries; those that run go on to their end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _stop(self, query: "_Query", future: "Future[Any]") -> None:
        if not future.cancel():
            task = asyncio.create_task(_interrupt(query, future))
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)


class _Query:
    """One connection, from its opening to its end, in one thread."""

    def __init__(self, events: Events, config: dict[str, Any]) -> None:
        self._events = events
        self._config = config
        self._connection: Connection | None = None

    def run(self, work: Callable[[Connection], T]) -> T:
        with duckdb.connect(":memory:", config=self._config) as connection:
            self._connection = connection
            connection.execute("SET TimeZone = 'UTC'")
            self._events.register(connection, "events")
            return work(connection)

    def interrupt(self) -> None:
        if self._connection is not None:
            self._connection.interrupt()


async def _interrupt(query: _Query, future: "Future[Any]") -> None:
    while not future.done():
        query.interrupt()
        await asyncio.sleep(INTERRUPT_EVERY_S)


def fetch(connection: Connection, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
    """The answer of one SELECT as an Arrow table."""
    return connection.sql(sql, params=dict(parameters or {})).to_arrow_table()


def _lower_priority(niceness: int) -> None:
    """For this thread and those that DuckDB starts from it. On Linux a thread has a priority of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)

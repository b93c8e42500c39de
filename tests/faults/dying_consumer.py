"""A consumer process that kills itself at a chosen point of a commit: `dying_consumer.py POINT COMMIT ARGUMENTS…`.

ARGUMENTS are those of `consumer_process.py`. POINT is a value of `Point`; it dies there in its COMMIT-th transaction.
"""

import asyncio
import os
import signal
import sys
from enum import StrEnum
from typing import Any

from pymongo import monitoring

from tests.faults import consumer_process


class Point(StrEnum):
    """Where in the commit."""

    BEFORE = "before the transaction"
    FIRST_WRITE = "after its first write"
    LAST_WRITE = "before commitTransaction"
    COMMITTED = "after commitTransaction"


class Death(monitoring.CommandListener):
    """Sees every command before it is sent, and after its answer has come."""

    def __init__(self, point: Point, commit: int) -> None:
        self._point = point
        self._commit = commit
        self._transactions = 0
        self._first_write = -1

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        command: dict[str, Any] = event.command
        if command.get("startTransaction"):
            self._transactions += 1
            self._first_write = event.request_id
            self._die(Point.BEFORE)
        if event.command_name == "commitTransaction":
            self._die(Point.LAST_WRITE)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if event.request_id == self._first_write:
            self._die(Point.FIRST_WRITE)
        if event.command_name == "commitTransaction":
            self._die(Point.COMMITTED)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Not what this is about."""

    def _die(self, point: Point) -> None:
        if point is self._point and self._transactions == self._commit:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    monitoring.register(Death(Point(sys.argv[1]), int(sys.argv[2])))
    uri, database, frames, owner, lease_s = sys.argv[3:]
    asyncio.run(consumer_process.main(uri, database, frames, owner, float(lease_s)))

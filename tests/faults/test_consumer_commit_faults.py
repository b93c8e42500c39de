"""Commits without an answer, with a wrong answer, and with none for long: counted once, whatever happened."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.consumer.commit import Committer, Flush
from pistats.consumer.lease import Lease, LeaseStore
from pistats.consumer.tally import Tally
from pistats.errors import FencedError, UnavailableError
from pistats.mongo.client import connect
from pistats.mongo.indexes import ensure_group_indexes
from pistats.mongo.server import MongodServer

pytestmark = pytest.mark.faults

Database = AsyncDatabase[dict[str, Any]]
TRANSIENT = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}


class Proxy:
    """Forwards bytes to mongod, until it sees a commit: that one arrives, but its answer does not."""

    def __init__(self, port: int, *, hang: bool, and_after: bool = False) -> None:
        self._target = port
        self._hang = hang  # True: the answer never comes; False: the connection breaks
        self._and_after = and_after  # True: no new connection gets through either
        self.swallowed = 0
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        yield f"mongodb://127.0.0.1:{server.sockets[0].getsockname()[1]}/?directConnection=true"
        server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self._and_after and self.swallowed:
            writer.close()
            return
        upstream, to_mongod = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.append(to_mongod)
        commit_sent = asyncio.Event()

        async def outward() -> None:
            while data := await reader.read(65_536):
                if b"commitTransaction" in data and not self.swallowed:
                    self.swallowed += 1
                    commit_sent.set()
                to_mongod.write(data)
            to_mongod.close()

        async def homeward() -> None:
            while data := await upstream.read(65_536):
                if not commit_sent.is_set():
                    writer.write(data)
                elif not self._hang:
                    writer.close()

        with closing(to_mongod):
            await asyncio.gather(outward(), homeward(), return_exceptions=True)


@pytest.fixture
async def lease(database: Database) -> Lease:
    await ensure_group_indexes(database, 3_600)
    return await take_lease(database)


async def take_lease(database: Database) -> Lease:
    leases = LeaseStore(database, 60)
    await leases.declare(0)
    lease = await leases.acquire(0, "a")
    assert lease is not None
    if lease.offset is None:
        await leases.renew(lease, fields={"offset": 0})
    return lease


def committer_of(database: Database, timeout_s: float = 20) -> Committer:
    return Committer(database, LeaseStore(database, 60), timeout_s)


def flush_of(lease: Lease, first: int = 0) -> Flush:
    return Flush(
        lease=lease,
        from_offset=first,
        to_offset=first + 10,
        append_time=1,
        caught_up=True,
        documents={"minutes": [{"_id": {"site": "s", "minute": 0, "partition": 0}, "views": first + 10}]},
        ledger={0: Tally(enriched=10)},
    )


async def assert_counted(database: Database, events: int) -> None:
    partition = await database["partitions"].find_one({"_id": 0})
    ledger = await database["ledger"].find_one()
    minute = await database["minutes"].find_one()
    assert partition is not None
    counted = ((ledger or {}).get("consumed", 0), (minute or {}).get("views", 0), partition["offset"])
    assert counted == (events, events, events)


async def test_a_commit_whose_answer_broke_off_is_counted_once(
    mongod: MongodServer, database: Database, lease: Lease
) -> None:
    proxy = Proxy(mongod.port, hang=False)
    async with proxy.listening() as uri, connect(uri) as client:
        await committer_of(client[database.name]).commit(flush_of(lease))
    assert proxy.swallowed == 1
    await assert_counted(database, 10)


async def test_a_commit_whose_answer_never_comes_is_found_in_the_checkpoint(
    mongod: MongodServer, database: Database, lease: Lease
) -> None:
    proxy = Proxy(mongod.port, hang=True)
    async with proxy.listening() as uri, connect(uri) as client:
        await committer_of(client[database.name], timeout_s=1).commit(flush_of(lease))
    assert proxy.swallowed == 1
    await assert_counted(database, 10)


async def test_a_commit_whose_outcome_cannot_be_read_is_settled_by_the_next_lease(
    mongod: MongodServer, database: Database, lease: Lease
) -> None:
    proxy = Proxy(mongod.port, hang=False, and_after=True)
    async with proxy.listening() as uri, connect(uri) as client:
        with pytest.raises(UnavailableError):
            await committer_of(client[database.name], timeout_s=1).commit(flush_of(lease))

    again = await take_lease(database)
    assert again.offset == 10
    with pytest.raises(FencedError):
        await committer_of(database).commit(flush_of(again))
    await committer_of(database).commit(flush_of(again, first=10))
    await assert_counted(database, 20)


@asynccontextmanager
async def failing(database: Database, commands: list[str], times: int, **data: Any) -> AsyncIterator[None]:
    """Have mongod answer the next `times` of `commands` with an error."""
    admin = database.client.admin
    point = {"failCommands": commands, **data}
    await admin.command("configureFailPoint", "failCommand", mode={"times": times}, data=point)
    try:
        yield
    finally:
        await admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.mark.parametrize(
    "fault",
    [
        lambda database: failing(database, ["update"], 3, **TRANSIENT),
        lambda database: failing(database, ["commitTransaction"], 3, **TRANSIENT),
        lambda database: failing(database, ["commitTransaction"], 1, closeConnection=True),
        lambda database: failing(
            database, ["commitTransaction"], 2, errorCode=89, errorLabels=["UnknownTransactionCommitResult"]
        ),
        lambda database: failing(
            database,
            ["commitTransaction"],
            1,
            writeConcernError={"code": 64, "errmsg": "waiting for replication timed out"},
        ),
    ],
    ids=["write conflict", "transient at commit", "connection lost at commit", "unknown result", "no majority yet"],
)
async def test_errors_that_pass_are_retried_and_counted_once(
    database: Database, lease: Lease, fault: Callable[[Database], Any]
) -> None:
    async with fault(database):
        await committer_of(database).commit(flush_of(lease))
    await assert_counted(database, 10)


async def test_an_error_that_stays_writes_nothing_and_the_next_try_counts(database: Database, lease: Lease) -> None:
    async with failing(database, ["update"], 1_000_000, **TRANSIENT):
        with pytest.raises(UnavailableError):
            await committer_of(database, timeout_s=1).commit(flush_of(lease))
    await committer_of(database).commit(flush_of(lease))
    await assert_counted(database, 10)


async def test_a_takeover_while_a_commit_is_under_way_lets_only_one_of_them_count(
    database: Database, lease: Lease
) -> None:
    leases = LeaseStore(database, 60)
    taken, committed = await asyncio.gather(
        leases.acquire(0, "a"), committer_of(database).commit(flush_of(lease)), return_exceptions=True
    )
    assert isinstance(taken, Lease)
    assert isinstance(committed, FencedError) == (taken.offset == 0)
    first = taken.offset
    assert first is not None
    await committer_of(database).commit(flush_of(taken, first=first))
    await assert_counted(database, first + 10)

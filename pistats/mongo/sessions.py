"""Reads of one moment, and writes that happen together or not at all."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from pistats.mongo.indexes import Database

T = TypeVar("T")


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[AsyncClientSession]:
    """A session in which every read sees the databases of this client as they were at one and the same moment.

    Reads raise OperationFailure 239 or 246 when MongoDB cannot give that moment: begin again with another session.
    """
    async with database.client.start_session(snapshot=True) as session:
        yield session


async def transaction(database: Database, write: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
    """What `write` gave, once all that it did in the session is durable on a majority. Its errors abort everything.

    It may run several times, so it touches nothing but the session. After an error of the connection the outcome is
    unknown; after an error that `write` raised, nothing was written.
    """
    async with database.client.start_session() as session:
        return await session.with_transaction(
            write, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
        )

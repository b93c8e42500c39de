"""The consumer groups of a system, and which of them the readers show.

A group is a name, a start position and a MongoDB database of its own. `groups` in the system database lists them:
`_id` (name), `state`, `start_position`, `created_at`. Every registered group is consumed all the time, whether it is
shown or not; so a group that was replayed beside the live one can take its place without a gap, and give it back.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from pistats.errors import FinalError
from pistats.mongo.indexes import Database, ensure_group_indexes
from pistats.settings import GROUP_NAME, Settings
from pistats.stream.position import parse_position
from pistats.topology import Topology

READERS = "readers"
"""The document of `settings` that names the group which the readers show."""

State = Literal["live", "shadow", "dropping"]


class GroupError(FinalError):
    """A consumer group cannot be changed so; the message says why, and what can be done."""


@dataclass(frozen=True, slots=True)
class Group:
    """A registered consumer group."""

    name: str
    state: State
    """`live`: the readers show it. `shadow`: consumed beside it. `dropping`: about to vanish, consumed no more."""
    start_position: str
    """Where it began in partitions of which it had consumed nothing."""
    created_time: int
    """Unix ms."""

    @property
    def is_consumed(self) -> bool:
        """Whether it needs the records behind its checkpoints."""
        return self.state != "dropping"

    def is_older_than(self, partition: int, topology: Topology) -> bool:
        """Whether a change of the layout added the partition later: then the group needs it from its first record."""
        ever = topology.changes[0].partitions_before if topology.changes else topology.partitions
        for change in topology.changes:
            if ever <= partition < change.partitions:
                return change.time > self.created_time
            ever = max(ever, change.partitions)
        return partition >= ever  # a change under way adds it


async def reader_group(system: Database, settings: Settings) -> str:
    """The group that every reader shows now: query API, dashboard, command line. Ask again: `promote` changes it.

    `system`: the system database. Without a promotion ever, the configured group.
    """
    found = await system["settings"].find_one({"_id": READERS}, {"group": 1})
    return settings.consumers.group if found is None else str(found["group"])


class Groups:
    """Makes, lists, promotes and drops groups. Every call may be repeated, and made by several at once."""

    def __init__(self, system: Database, settings: Settings) -> None:
        """`system`: the system database."""
        self.system = system
        self._settings = settings
        self._groups = system.get_collection("groups", read_concern=ReadConcern("majority"))

    def database(self, name: str) -> Database:
        """The group's own database."""
        return self.system.client[self._settings.database(name)]

    async def settle(self) -> str:
        """Make sure that there is a group for the readers to show, and return its name. For every start.

        The configured one, unless another was promoted: then that one may even have been dropped, and stays so.
        """
        name = await self.shown()
        await self._prepare(name)
        await self._register(name, self._settings.consumers.start_position)
        await self._in_transaction(lambda session: self._show(name, session))
        return name

    async def create(self, name: str, start_position: str) -> Group:
        """Register a shadow group; the supervisor starts its consumers within seconds. The group as it is registered.

        A group that is there already stays as it is. Raises GroupError when that one began elsewhere or is being
        dropped, or for a name that no group can have; PositionError for no position.
        """
        check_name(name)
        start_position = str(parse_position(start_position))
        before = await self.find(name)
        if before is not None:
            return _same(before, start_position)
        await self._remove_leftovers(name)
        await self._prepare(name)
        return _same(await self._register(name, start_position), start_position)

    async def shown(self) -> str:
        """The group that the readers show. See `reader_group`."""
        return await reader_group(self.system, self._settings)

    async def find(self, name: str) -> Group | None:
        """The registered group of that name."""
        document = await self._groups.find_one({"_id": name})
        return None if document is None else _group(document)

    async def list(self) -> "list[Group]":
        """All groups, oldest first, those that are being dropped included."""
        return [_group(document) async for document in self._groups.find().sort([("created_at", 1), ("_id", 1)])]

    async def promote(self, name: str) -> str:
        """Let all readers show this group from now on; the group that they showed before, which goes on in the shadow.

        One transaction: no reader sees a moment between. Raises GroupError when there is no such group any more.
        """
        before = await self.shown()

        async def write(session: AsyncClientSession) -> None:
            await self.system["settings"].update_one(
                {"_id": READERS}, {"$set": {"group": name}}, upsert=True, session=session
            )
            await self._show(name, session)

        await self._in_transaction(write)
        return before

    async def drop(self, name: str) -> None:
        """Begin to drop a group: nobody consumes for it any more. `finish_drop` does the rest.

        Raises GroupError for the group that the readers show. A group that is gone is dropped already.
        """
        document = await self._groups.find_one_and_update(
            {"_id": name, "state": {"$ne": "live"}}, {"$set": {"state": "dropping"}}
        )
        if document is None and await self.find(name) is not None:
            raise GroupError(f"The readers show {name}: promote another group first, then drop it.")

    async def finish_drop(self, name: str, remove_files: Callable[[str], Awaitable[None]] | None = None) -> bool:
        """Remove what a dropped group has stored, last of all its registration. Whether this call did it.

        Call it when none of the group's consumers runs any more. `remove_files`: removes what it has in the
        warehouse, given its name. After a death in between, call it again.
        """
        found = await self.find(name)
        if found is None or found.state != "dropping":
            return False
        await self.system.client.drop_database(self._settings.database(name))
        if remove_files is not None:
            await remove_files(name)
        deleted = await self._groups.delete_one({"_id": name, "state": "dropping"})
        return deleted.deleted_count == 1

    async def _remove_leftovers(self, name: str) -> None:
        """What a consumer or a job wrote that was the last to hear that an earlier group of that name is gone."""
        for collection in await self.database(name).list_collection_names():
            if await self.database(name)[collection].find_one() is not None:
                if await self.find(name) is None:  # nobody else was faster
                    await self.system.client.drop_database(self._settings.database(name))
                return

    async def _prepare(self, name: str) -> None:
        await ensure_group_indexes(self.database(name), self._settings.live.keep_s)

    async def _register(self, name: str, start_position: str) -> Group:
        position = str(parse_position(start_position))  # one way to write it, so that two can be compared
        new = {"state": "shadow", "start_position": position, "created_at": datetime.now(UTC)}
        document = await self._groups.find_one_and_update(
            {"_id": name}, {"$setOnInsert": new}, upsert=True, return_document=ReturnDocument.AFTER
        )
        assert document is not None
        return _group(document)

    async def _show(self, name: str, session: AsyncClientSession) -> None:
        """Let `state` say that the readers show `name` and no other. Raises GroupError when it cannot be shown."""
        groups = self.system["groups"]
        shown = await groups.update_one(
            {"_id": name, "state": {"$ne": "dropping"}}, {"$set": {"state": "live"}}, session=session
        )
        if shown.matched_count == 0:
            raise GroupError(f"There is no group {name} to show. `pistats group list` lists them.")
        await groups.update_many(
            {"_id": {"$ne": name}, "state": "live"}, {"$set": {"state": "shadow"}}, session=session
        )

    async def _in_transaction(self, write: Callable[[AsyncClientSession], Awaitable[None]]) -> None:
        async with self.system.client.start_session() as session:
            await session.with_transaction(
                write, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
            )


def check_name(name: str) -> None:
    """Raises GroupError for a name that no group can have."""
    if not re.fullmatch(GROUP_NAME, name):
        raise GroupError(
            f"{name!r} cannot be a group's name: it begins with a lower-case letter, and has at most 30 lower-case "
            "letters, digits and dashes."
        )


def _same(group: Group, start_position: str) -> Group:
    """The group itself. Raises GroupError when it isn't what was to be created."""
    if group.state == "dropping":
        raise GroupError(f"The group {group.name} is being dropped: wait until it is gone, then create it again.")
    if group.start_position != start_position:
        raise GroupError(
            f"There is a group {group.name} already, which began at {group.start_position}. Name that position, drop "
            f"the group first (`pistats group drop {group.name}`), or choose another name."
        )
    return group


def _group(document: dict[str, Any]) -> Group:
    return Group(
        name=document["_id"],
        state=document["state"],
        start_position=document["start_position"],
        created_time=int(document["created_at"].timestamp() * 1000),
    )

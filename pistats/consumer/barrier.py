"""Each visitor's events stay in order when the number of partitions changes: what was stored before it comes first.

Records wait for the checkpoints. What is done for requests moves no checkpoint, so it is fenced: whoever passes a
change's cut writes so into the document of every partition (`cuts`) before it reads a visitor, and a commit for
requests matches no document in which a cut is noted that it doesn't know of. One of the two comes first: either the
new owner reads what the former one has written, or the former one writes nothing.
"""

from collections.abc import Sequence
from typing import Any

from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from pistats.mongo.indexes import Database
from pistats.topology_cache import TopologyCache


def no_cut_beyond(cuts: int) -> dict[str, Any]:
    """Matches a partition's document as long as nobody in the group has passed more changes of the layout than these.

    So nobody else writes the visitors that the partition has by them.
    """
    return {"cuts": {"$not": {"$gt": cuts}}}


class Barriers:
    """Says how far one partition's records may be consumed by one group.

    Records that were stored after a change of the layout wait until the group's checkpoints of all partitions have
    reached the change's cut. No cycle of waiting can come of it: a change's cut lies behind the cut before it in every
    partition, and what lies before a cut never waits for that cut.
    """

    def __init__(self, partition: int, group: Database, topology: TopologyCache) -> None:
        self._partition = partition
        self._checkpoints = group.get_collection(
            "partitions", read_concern=ReadConcern("majority"), write_concern=WriteConcern("majority")
        )
        self._topology = topology
        self._passed = 0
        self._noted = 0

    @property
    def passed(self) -> int:
        """How many changes of the layout lie before the offset that was asked about last."""
        return self._passed

    async def held_from(self, offset: int, layout: int) -> int | None:
        """The first offset, from `offset` on, that may not be consumed yet; None when everything may.

        `offset`: next to consume. `layout`: of the records that were fetched. Costs nothing when nothing changed.
        """
        topology = self._topology.known
        if layout > topology.epoch:
            # Read after the records: a change that is still not published has no record among them.
            topology = await self._topology.refresh()
        for cut, ends in topology.barriers(self._partition)[self._passed :]:
            if offset < cut:
                return cut
            if not await self._reached(ends):
                return offset
            await self._note(self._passed + 1)
            self._passed += 1
        return None

    async def settled(self) -> int | None:
        """How many changes of the layout there were, when every visitor is where the newest layout has it.

        None while a change is under way, or a partition has records of before one to consume: then the former owner of
        a visitor that moves may still write what is known of it. Reads the topology anew.
        """
        topology = await self._topology.refresh()
        if topology.resizing is not None:
            return None
        if topology.changes and not await self._reached(topology.changes[-1].ends):
            return None
        await self._note(len(topology.changes))
        return len(topology.changes)

    async def _note(self, cuts: int) -> None:
        """From here on, commits for requests that know of fewer cuts write nothing. May be repeated."""
        if cuts > self._noted:
            below = {"$or": [{"cuts": {"$lt": cuts}}, {"cuts": None}]}
            await self._checkpoints.update_many(below, {"$set": {"cuts": cuts}})
            self._noted = cuts

    async def _reached(self, ends: Sequence[int]) -> bool:
        found = self._checkpoints.find({}, {"offset": 1})
        offsets = {document["_id"]: document["offset"] or 0 async for document in found}
        return all(offsets.get(partition, 0) >= end for partition, end in enumerate(ends))

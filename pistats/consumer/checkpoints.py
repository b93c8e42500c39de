"""How far consumers have come."""

from pistats.mongo.indexes import Database


async def slowest_checkpoints(group: Database, partitions: int) -> dict[int, int]:
    """The next offset to consume of each partition; 0 for one that was never consumed.

    `group`: the consumer group's database. Records below these offsets are needed by nobody.
    """
    stored = {
        document["_id"]: document["offset"] or 0 async for document in group["partitions"].find({}, {"offset": 1})
    }
    return {partition: int(stored.get(partition, 0)) for partition in range(partitions)}

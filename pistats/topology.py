"""How a system is laid out: the number of stream partitions, settled at the first start and the same for everyone."""

from pistats.mongo.indexes import Database

STREAM = "stream"


async def settle_partitions(database: Database, wanted: int) -> int:
    """The number of partitions of this system: `wanted` at its first start, what was settled then ever after.

    `database`: the system database. May be repeated, and by several at once.
    """
    settings = database["settings"]
    await settings.update_one({"_id": STREAM}, {"$setOnInsert": {"partitions": wanted}}, upsert=True)
    document = await settings.find_one({"_id": STREAM})
    assert document is not None
    return int(document["partitions"])

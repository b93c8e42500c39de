"""Whether a replayed group knows less of the past than the one that is shown. See `pistats.warehouse.adopt`."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pistats.mongo.indexes import Database


async def lacks_history(shown: Database, replayed: Database) -> bool:
    """Whether `shown` has events that `replayed` neither consumes nor has adopted, or imports of a site without any."""
    found = replayed["partitions"].find({}, {"start_offset": 1})
    starts = {one["_id"]: one["start_offset"] async for one in found if one.get("start_offset")}
    marks = [one["_id"] async for one in replayed["adopted"].find()]
    if starts and await _lacks_streamed(shown, replayed, starts, {(one["site"], one.get("date")) for one in marks}):
        return True
    adopted = {one["site"] for one in marks if one.get("imports")}
    own = set(await replayed["imports"].distinct("_id.site"))
    return bool(set(await shown["imports"].distinct("_id.site")) - adopted - own)


async def _lacks_streamed(
    shown: Database, replayed: Database, starts: Mapping[int, int], adopted: set[tuple[str, str | None]]
) -> bool:
    """An event happens before it is stored: nothing of before the starts has a later date than their first minute."""
    first = await replayed["ledger"].find_one({}, {"_id": 1}, sort=[("_id.minute", 1)])
    began = datetime.now(UTC) if first is None else datetime.fromtimestamp(first["_id"]["minute"] / 1000, UTC)
    earlier = shown["files"].find({"origin": "stream", "date": {"$lte": f"{began:%Y-%m-%d}"}}, {"site": 1, "date": 1})
    async for file in earlier:
        if (file["site"], file["date"]) not in adopted:
            return True
    waiting = [{"_id.partition": number, "_id.first_offset": {"$lt": start}} for number, start in starts.items()]
    return await shown["chunks"].find_one({"$or": waiting}, {"_id": 1}) is not None

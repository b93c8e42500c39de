"""Collections and indexes, made at start-up: none is built under load, and no transaction creates a collection."""

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import CollectionInvalid, OperationFailure

Database = AsyncDatabase[dict[str, Any]]

INDEX_OPTIONS_CONFLICT = 85
NAMESPACE_EXISTS = 48
COUNTED = "counted"
"""The index that `pistats.ledger` adds events up by."""
MEMBER_KEEP_S = 3_600
"""Dead members of a group stay visible for an hour, then go."""

SYSTEM_COLLECTIONS: dict[str, list[IndexModel]] = {
    "sites": [
        IndexModel([("write_key_hash", ASCENDING)], name="write_key", unique=True),
        IndexModel([("read_key_hash", ASCENDING)], name="read_key", unique=True),
    ],
    "groups": [],
    "settings": [],
    "salts": [],
    "erasures": [
        IndexModel([("_id.site", ASCENDING)], name="site"),
        IndexModel([("erased_time", ASCENDING)], name="time"),
    ],
    "annotations": [IndexModel([("site", ASCENDING), ("date", ASCENDING)], name="site_date")],
    "job_runs": [
        IndexModel([("created_time", DESCENDING)], name="newest"),
        IndexModel([("job", ASCENDING), ("state", ASCENDING)], name="job"),
    ],
    "watermarks": [],
}


async def ensure_system_indexes(database: Database) -> None:
    """Make the collections and indexes of the system database (sites, groups, settings, salts). May be repeated."""
    await _ensure(database, SYSTEM_COLLECTIONS)


async def ensure_group_indexes(database: Database, live_keep_s: int) -> None:
    """Make the collections and indexes of one consumer group's database. May be repeated.

    `live_keep_s`: how long minute buckets and feeds stay after their last change; a new value replaces the old one.
    """
    await _ensure(
        database,
        {
            "partitions": [],
            "imports": [IndexModel([("_id.site", ASCENDING)], name="site")],
            "members": [_expiring("expires_at", MEMBER_KEEP_S)],
            "minutes": [IndexModel([("_id.minute", ASCENDING)], name="minute"), _expiring("updated_at", live_keep_s)],
            "feed": [_expiring("updated_at", live_keep_s)],
            "ledger": [IndexModel([("_id.minute", ASCENDING)], name="minute")],
            "chunks": [
                IndexModel([("sites", ASCENDING), ("max_event_time", ASCENDING)], name="site_time"),
                IndexModel([("created_at", ASCENDING)], name="oldest"),
                _counted(),
            ],
            "visitors": [_expiring("expires_at", 0)],
            "retention": [IndexModel([("_id.site", ASCENDING), ("_id.granularity", ASCENDING)], name="site")],
            "archived": [IndexModel([("_id.minute", ASCENDING)], name="minute"), _counted()],
            "files": [
                IndexModel([("site", ASCENDING), ("max_event_time", ASCENDING)], name="site_time"),
                IndexModel([("site", ASCENDING), ("date", ASCENDING)], name="site_date"),
            ],
            "removed_files": [IndexModel([("removed_at", ASCENDING)], name="removed")],
            "dirty_dates": [],
            "rollups": [
                IndexModel(
                    [("_id.site", ASCENDING), ("_id.granularity", ASCENDING), ("_id.start", ASCENDING)], name="period"
                )
            ],
            "adopted": [],
            "requests": [IndexModel([("partition", ASCENDING), ("created_at", ASCENDING)], name="partition")],
            "dead_letters": [
                IndexModel([("created_at", DESCENDING)], name="newest"),
                IndexModel([("reason", ASCENDING), ("created_at", DESCENDING)], name="reason"),
                IndexModel([("stage", ASCENDING), ("reason", ASCENDING)], name="stage_reason"),
            ],
        },
    )


def _counted() -> IndexModel:
    """Adds up `events` without reading the documents."""
    return IndexModel([("_id.partition", ASCENDING), ("events", ASCENDING)], name=COUNTED)


def _expiring(field: str, after_s: int) -> IndexModel:
    return IndexModel([(field, ASCENDING)], name=f"expire_{field}", expireAfterSeconds=after_s)


async def _ensure(database: Database, collections: dict[str, list[IndexModel]]) -> None:
    existing = set(await database.list_collection_names())
    for name, indexes in collections.items():
        if name not in existing:
            await _create(database, name)
        for index in indexes:
            await _ensure_index(database, name, index)


async def _create(database: Database, name: str) -> None:
    try:
        await database.create_collection(name)
    except CollectionInvalid:
        return  # another process was faster
    except OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:  # faster, and between PyMongo's look and its command
            raise


async def _ensure_index(database: Database, collection: str, index: IndexModel) -> None:
    try:
        await database[collection].create_indexes([index])
    except OperationFailure as error:
        if error.code != INDEX_OPTIONS_CONFLICT or "expireAfterSeconds" not in index.document:
            raise
        expiry = {"name": index.document["name"], "expireAfterSeconds": index.document["expireAfterSeconds"]}
        await database.command("collMod", collection, index=expiry)

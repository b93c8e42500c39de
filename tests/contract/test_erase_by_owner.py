"""What a partition's owner does when it is asked to erase a visitor: state and feed forget it, others stay."""

from pistats.consumer.projection import Projection
from pistats.consumer.work import Work
from pistats.live.feed import LiveFeed
from pistats.mongo.indexes import Database, ensure_group_indexes
from pistats.settings import ConsumerSettings, LiveSettings
from tests.warehouse_events import NOON, SITE, some_events


async def test_the_stored_feed_of_an_owner_that_has_just_started_forgets_the_visitor(database: Database) -> None:
    await ensure_group_indexes(database, 3_600)
    feed = LiveFeed(0)
    feed.fold(some_events(14))
    await database["feed"].insert_many(feed.documents())
    projection = Projection(database, 0, ConsumerSettings(), LiveSettings(), lambda: NOON, duplicates=0)

    change = await projection.apply(None, Work(erased=[(SITE, "visitor-3"), ("other", "visitor-3")]))

    (document,) = change.documents["feed"]
    assert document["_id"] == {"site": SITE, "partition": 0}
    shown = [event["visitor_id"] for event in document["events"]]
    assert shown == [f"visitor-{number % 7}" for number in range(14) if number % 7 != 3]
    assert {"site": SITE, "visitor_id": "visitor-3"} in change.removed["visitors"]


async def test_a_feed_without_the_visitor_is_left_alone(database: Database) -> None:
    await ensure_group_indexes(database, 3_600)
    projection = Projection(database, 0, ConsumerSettings(), LiveSettings(), lambda: NOON, duplicates=0)

    change = await projection.apply(None, Work(erased=[(SITE, "nobody")]))

    assert change.documents["feed"] == []

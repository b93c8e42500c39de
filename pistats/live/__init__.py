"""The live read model: consumers fold events into minutes (`fold`), readers merge minutes into snapshots (`view`)."""

from pistats.live.bucket import MinuteBucket
from pistats.live.feed import LiveFeed
from pistats.live.fold import LiveBuckets
from pistats.live.view import LiveView

__all__ = ["LiveBuckets", "LiveFeed", "LiveView", "MinuteBucket"]

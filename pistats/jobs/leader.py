"""Which of several schedulers may act: a lock in MongoDB that runs out by itself when its holder dies."""

from pymongo.errors import DuplicateKeyError

from pistats.clock import Clock, now_ms
from pistats.mongo.indexes import Database

LEADER = "leader"
LEASE_MS = 60_000
"""A dead leader's work is taken over after this; a living one renews when half of it is left."""


class LeaderLock:
    """The document `leader` of `watermarks`: `{owner, expires}` (Unix ms).

    It saves work, no more: what must not happen twice is guarded by the insert of a run.
    """

    def __init__(self, system: Database, owner: str, clock: Clock = now_ms) -> None:
        self._watermarks = system["watermarks"]
        self._owner = owner
        self._clock = clock
        self._expires = 0

    async def held(self) -> bool:
        """Take or renew it; whether this owner has it now."""
        now = self._clock()
        if now < self._expires - LEASE_MS // 2:
            return True
        try:
            await self._watermarks.update_one(
                {"_id": LEADER, "$or": [{"owner": self._owner}, {"expires": {"$lte": now}}]},
                {"$set": {"owner": self._owner, "expires": now + LEASE_MS}},
                upsert=True,
            )
        except DuplicateKeyError:  # another one has it: the upsert found no match, and the id is taken
            return False
        self._expires = now + LEASE_MS
        return True

    async def release(self) -> None:
        """Let the next one have it at once."""
        self._expires = 0
        await self._watermarks.delete_one({"_id": LEADER, "owner": self._owner})

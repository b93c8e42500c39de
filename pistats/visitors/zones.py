"""The local days of each site, in the time zone that was fixed when the site was added."""

from collections.abc import Collection
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pistats.mongo.indexes import Database
from pistats.visitors.calendar import LocalDays

KEPT_QUARTERS = 50_000
"""Of one site: more than a year. Events of all times, in a replay of long imports, would make it grow for ever."""


class SiteZones:
    """Knows every site that was asked for: it looks once when an unknown one comes, and never again.

    A site that does not exist has the days of UTC. Events of such a site can only be left over from one that was
    removed, for nobody can send them.
    """

    def __init__(self, system: Database | None) -> None:
        """`system`: the database that holds the sites; None: every site has UTC."""
        self._sites = None if system is None else system["sites"]
        self._days: dict[str, LocalDays] = {}

    async def learn(self, sites: Collection[str]) -> None:
        """Be ready for `days_of` of these sites. Reads only when one of them is new."""
        unknown = [site for site in sites if site not in self._days]
        if not unknown:
            return
        zones = dict.fromkeys(unknown, "UTC")
        if self._sites is not None:
            found = self._sites.find({"_id": {"$in": unknown}}, {"timezone": 1})
            zones |= {site["_id"]: site["timezone"] async for site in found}
        self._days |= {site: LocalDays(_zone(name)) for site, name in zones.items()}

    def days_of(self, site: str) -> LocalDays:
        """The local day of each quarter of an hour. UTC for a site that was not learnt."""
        days = self._days.get(site)
        if days is None:
            days = self._days[site] = LocalDays(_zone("UTC"))
        if len(days) > KEPT_QUARTERS:
            days.clear()
        return days


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")  # stored by a machine that knew more time zones: a wrong day beats no day

"""Showing another group to all readers, but not by accident one that is behind, or knows less of the past."""

from pistats.consumer.checkpoints import has_begun, lag_s
from pistats.consumer.groups import GroupError, Groups
from pistats.consumer.history import lacks_history

BEHIND_S = 60.0
"""A group that is further behind is not shown unasked: its numbers would be of the past."""


async def promote_caught_up(groups: Groups, name: str, *, behind: bool = False, without_history: bool = False) -> str:
    """Lets all readers show this group from now on; the name of the one that they showed before.

    Raises GroupError when there is no such group; without `behind`, when it has not caught up; without
    `without_history`, when it lacks events that the group which is shown has.
    """
    if await groups.find(name) is not None:
        group = groups.database(name)
        lag = await lag_s(group)
        if not behind and (lag > BEHIND_S or not await has_begun(group)):
            raise GroupError(
                f"{name} has not caught up yet ({lag:,.0f} s behind): wait for it (pistats replay --group {name} "
                "--from POSITION --wait, as before), or promote it with --behind."
            )
        if not without_history and await lacks_history(groups.database(await groups.shown()), group):
            raise GroupError(
                f"{name} lacks events that the group which is shown has: they came before its start, or were imported. "
                f"Take them over (pistats group adopt {name}), or promote it with --without-history."
            )
    return await groups.promote(name)

"""Showing another group to all readers, but not by accident one that is behind."""

from pistats.consumer.checkpoints import lag_s
from pistats.consumer.groups import GroupError, Groups

BEHIND_S = 60.0
"""A group that is further behind is not shown unasked: its numbers would be of the past."""


async def promote_caught_up(groups: Groups, name: str, *, behind: bool = False) -> str:
    """Lets all readers show this group from now on; the name of the one that they showed before.

    Raises GroupError when there is no such group, or, without `behind`, when it has not caught up.
    """
    if await groups.find(name) is not None and not behind:
        lag = await lag_s(groups.database(name))
        if lag > BEHIND_S:
            raise GroupError(
                f"{name} is still {lag:,.0f} s behind: wait for it (pistats replay --group {name} --wait), or promote "
                "it with --behind."
            )
    return await groups.promote(name)

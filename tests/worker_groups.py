"""Which tests go to one worker when `make test` runs several at once, and which of them begin first."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SYSTEM_TIMEOUT_S = 600
"""Whoever comes first waits until the system has started: that is not the test's own time."""
SHARED_SYSTEM = "tests/system"
OTHER_SYSTEMS = "other systems"
GROUPS = {
    "tests/browser/test_demo_to_live.py": SHARED_SYSTEM,
    "tests/system/test_replay.py": OTHER_SYSTEMS,
    "tests/faults/test_exactly_once.py": OTHER_SYSTEMS,
    "tests/system/test_resize.py": OTHER_SYSTEMS,
    "tests/system/test_units_on_two_nodes.py": OTHER_SYSTEMS,
}
"""One worker starts the shared system, and one the spare system and others, in this order: a replay repeats what came
before it, and a resize leaves more partitions. What is not named here uses the shared one if it is in its directory;
else its module stays together, for the sake of its fixtures."""
ORDER = (SHARED_SYSTEM, OTHER_SYSTEMS, "tests/faults", "tests/browser", "tests/contract", "tests/laws", "tests/unit")
"""The longest begin first, so that the workers end together."""


def group_of(nodeid: str) -> str:
    """The group of a test. Each group goes to one worker, in one piece."""
    module = nodeid.partition("::")[0]
    return GROUPS.get(module, SHARED_SYSTEM if module.startswith(SHARED_SYSTEM) else module)


def _rank(item: pytest.Item) -> tuple[int, int]:
    module, group = item.nodeid.partition("::")[0], group_of(item.nodeid)
    place = list(GROUPS).index(module) if group == OTHER_SYSTEMS else 0
    return next(rank for rank, start in enumerate(ORDER) if group.startswith(start)), place


class GroupScheduling(LoadScopeScheduling):
    """xdist's own scheduling by scope, with our groups as the scopes. Its `loadgroup` finds no marks in pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    """Whatever `--dist` says: a test in the wrong worker would start one more system."""
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only workers change the order: tests that someone runs by hand come as asked for."""
    for item in items:
        if item.get_closest_marker("system") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SYSTEM_TIMEOUT_S))
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)

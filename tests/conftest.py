"""What every test may use: one real mongod for the whole run, and an empty database for each test."""

import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.mongo.client import connect
from pistats.mongo.server import MongodServer
from pistats.settings import MongoSettings

pytest_plugins = ["tests.running_system", "tests.worker_groups"]

UNIT_TESTS = Path(__file__).parent / "unit"
TEST_COMMANDS = ("--setParameter", "enableTestCommands=1", "--setParameter", "ttlMonitorEnabled=false")
"""Turns on mongod's fail points, with which a test makes a chosen command fail; and leaves documents alone that a
test's clock has dated years back."""

STRICT = ("sites",)
"""Collections whose unique indexes would refuse what another test writes."""


def pytest_configure() -> None:
    """Ctrl-C means something to the commands under test, also when a shell started the tests in the background.

    It ignores the signal for them then, and every process that they start inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongodServer]:
    """A real mongod, a replica set of one, shared by all tests: leave it running and clean."""
    server = MongodServer(tmp_path_factory.mktemp("mongod"), MongoSettings(cache_mb=256), extra_args=TEST_COMMANDS)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mongo_uri(mongod: MongodServer) -> str:
    """Where the shared mongod listens."""
    return mongod.uri


@pytest.fixture(scope="session")
def _free_names() -> list[str]:
    return []


@pytest.fixture
async def database(mongo_uri: str, _free_names: list[str]) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """A database of this test's own, as are all those whose names begin with its name. `database.client` is connected.

    Nothing is in them, but collections and indexes of an earlier test may be there: it takes mongod a third of a second
    to make those of one group.
    """
    name = _free_names.pop() if _free_names else f"test_{uuid.uuid4().hex[:12]}"
    client = connect(mongo_uri)
    yield client[name]
    for one in await client.list_database_names():
        for collection in await client[one].list_collection_names() if one.startswith(name) else ():
            if collection in STRICT:
                await client[one].drop_collection(collection)
            else:
                await client[one][collection].delete_many({})
    await client.close()
    _free_names.append(name)


@pytest.fixture(autouse=True)
def disallow_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unit tests start no Ray: they stay fast, and the core stays usable without it."""
    yield
    if UNIT_TESTS in request.path.parents:
        ray = sys.modules.get("ray")
        assert ray is None or not ray.is_initialized(), f"{request.node.nodeid} started Ray: move it to tests/system"

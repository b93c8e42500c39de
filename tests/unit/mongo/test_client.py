"""Connections: what the address says wins over our defaults, but for the write concern."""

import pytest

from pistats.mongo.client import connect


@pytest.mark.parametrize("members", ["db1", "db1:27018,db2:27018,[::1]:27018"])
async def test_options_of_the_address_win_but_no_write_is_acknowledged_early(members: str) -> None:
    plain = connect(f"mongodb://{members}/")
    given = connect(f"mongodb://user:pass%2Fword@{members}/?ServerSelectionTimeoutMS=200&w=1&socketTimeoutMS=1000")

    assert plain.options.server_selection_timeout == 5
    assert given.options.server_selection_timeout == 0.2
    assert given.options.pool_options.socket_timeout == 1
    assert [client.write_concern.document for client in (plain, given)] == [{"w": "majority"}] * 2
    await plain.close()
    await given.close()

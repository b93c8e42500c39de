"""The operations page as Streamlit draws it, on a real mongod, without a browser."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from streamlit.testing.v1 import AppTest

from dashboard.sign_in import SignIn
from pistats.operations import Operations
from pistats.settings import MongoSettings, Settings
from pistats.status_board import StatusBoard
from tests.contract.test_status_board import status

Database = AsyncDatabase[dict[str, Any]]


def script() -> None:
    """What Streamlit runs."""
    from dashboard.views.operations import show

    show()


@pytest.mark.parametrize(("role", "replays"), [("admin", 1), ("viewer", 0)])
async def test_the_page_is_drawn_for_each_role(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Any, replays: int
) -> None:
    settings = Settings(data=tmp_path, mongodb=MongoSettings(database_prefix=database.name))
    await StatusBoard(database).post([status(0)])
    loop = asyncio.get_running_loop()
    running = SimpleNamespace(
        settings=settings,
        system=database,
        operations=Operations(database.client, settings),
        shown=SimpleNamespace(database=database.client[settings.database("live")]),
        run=lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(30),
    )
    monkeypatch.setattr("dashboard.views.operations.services", lambda: running)
    monkeypatch.setattr("dashboard.views.operations.signed_in", lambda: SignIn(role, role, 0))

    drawn = await asyncio.to_thread(AppTest.from_function(script, default_timeout=30).run)

    assert not drawn.exception
    assert len([button for button in drawn.button if button.label == "Begin"]) == replays
    assert any("partition 0" in text.value for text in drawn.text)

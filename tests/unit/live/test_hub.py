"""The hub: everyone sees the latest snapshot, nobody waits for a slow viewer, numbers fall by themselves."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pistats.live.hub import LiveHub


class Counting:
    """A view whose only number is how often it was looked at, per site."""

    def __init__(self) -> None:
        self.value = 0
        self.built: list[str] = []

    def snapshot(self, site: str, now_ms: int, /) -> dict[str, Any]:
        self.built.append(site)
        return {"value": self.value, "as_of": now_ms}


@pytest.fixture
def view() -> Counting:
    return Counting()


@pytest.fixture
async def hub(view: Counting) -> AsyncIterator[LiveHub]:
    hub = LiveHub(lambda: view, lambda: True, updates_per_s=50, clock=lambda: 1000)
    running = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    yield hub
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until(messages: AsyncIterator[str], value: int) -> dict[str, Any]:
    async with asyncio.timeout(10):
        async for message in messages:
            snapshot: dict[str, Any] = json.loads(message)
            if snapshot.get("value") == value:
                return snapshot
    raise AssertionError


async def test_a_viewer_gets_the_present_at_once_and_every_later_change(hub: LiveHub, view: Counting) -> None:
    view.value = 7
    async with hub.messages("shop") as messages:
        first = await until(messages, 7)
        assert (first["site"], first["connected"]) == ("shop", True)
        view.value = 8
        hub.changed()
        await until(messages, 8)


async def test_numbers_move_without_any_change(hub: LiveHub, view: Counting) -> None:
    async with hub.messages("shop") as messages:
        await until(messages, 0)
        view.value = 1  # as when visitors leave: nobody calls `changed`
        await until(messages, 1)


async def test_a_slow_viewer_skips_to_the_latest(hub: LiveHub, view: Counting) -> None:
    async with hub.messages("shop") as slow, hub.messages("shop") as quick:
        for value in range(1, 6):
            view.value = value
            hub.changed()
            await until(quick, value)
        assert json.loads(await anext(slow))["value"] == 5


async def test_a_reader_of_changes_gets_everything_first_and_then_what_it_lacks(hub: LiveHub, view: Counting) -> None:
    async with hub.messages("shop", changes=True) as slow, hub.messages("shop", changes=True) as quick:
        assert json.loads(await anext(slow)) == {"value": 0, "as_of": 1000, "site": "shop", "connected": True}
        for value in (1, 2):
            view.value = value
            hub.changed()
            assert await until(quick, value)
        assert json.loads(await anext(slow)) == {"value": 2}
        assert json.loads(await anext(slow)) == {}, "nothing has changed, but the page has to hear that we are here"


async def test_one_snapshot_serves_all_viewers_of_a_site_and_none_is_built_for_nobody(
    hub: LiveHub, view: Counting
) -> None:
    hub.changed()
    await asyncio.sleep(0.05)
    assert view.built == []
    async with hub.messages("shop") as one, hub.messages("shop") as two, hub.messages("news") as other:
        view.value = 3
        hub.changed()
        await asyncio.gather(until(one, 3), until(two, 3), until(other, 3))
        assert hub.viewers == {"shop": 2, "news": 1}
        assert abs(view.built.count("shop") - view.built.count("news")) <= 1
    assert not hub.viewers


async def test_two_hundred_viewers_come_and_go(hub: LiveHub, view: Counting) -> None:
    async def visit(number: int) -> None:
        async with hub.messages(f"site{number % 3}") as messages:
            await until(messages, 9)

    view.value = 9
    await asyncio.gather(*(visit(number) for number in range(200)))
    assert not hub.viewers


async def test_page_scripts_in_threads_get_a_snapshot_too(hub: LiveHub, view: Counting) -> None:
    view.value = 4
    snapshot = await asyncio.to_thread(hub.snapshot_threadsafe, "shop")
    assert snapshot["value"] == 4

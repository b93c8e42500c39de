"""The report pages' scripts on real reports, without a browser: any address is drawn, elements get the numbers."""

import asyncio
import threading
import uuid
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import services
from dashboard.answers import Answers
from dashboard.element import Element
from pistats import format as fmt
from pistats.clock import now_ms
from pistats.mongo.client import connect
from pistats.mongo.indexes import ensure_group_indexes, ensure_system_indexes
from pistats.reports.history import HistoryQuery
from pistats.reports.reports import Reports
from pistats.sites import Site, SiteStore
from pistats.warehouse.engine import QueryEngine
from pistats.warehouse.source import EventSource
from tests.warehouse_events import an_event, chunk_document

SITE = "news.example"
EVIL = "<b>**x**</b> [a](javascript:1) =1+1"
DAY_MS = 86_400_000


class Running:
    """What a dashboard process has, in this one: services on a loop in a thread of its own."""

    def __init__(self, uri: str, root: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.engine = QueryEngine(threads=1)
        self.client: Any = None
        self.site, self.reports = self.run(self._prepare(uri, str(root)))

    def run(self, work: Coroutine[Any, Any, Any], timeout_s: float = 60) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    async def _prepare(self, uri: str, root: str) -> tuple[Site, Reports]:
        self.client = connect(uri)
        self.name = f"t{uuid.uuid4().hex[:10]}"
        self.system, group = self.client[self.name], self.client[f"{self.name}_live"]
        await ensure_system_indexes(self.system)
        await ensure_group_indexes(group, 3_600)
        await SiteStore(self.system).add(SITE)
        await SiteStore(self.system).add("empty.example")
        await group.chunks.insert_one(chunk_document(some_visits(now_ms())))
        site = await SiteStore(self.system).get(SITE)
        assert site is not None
        return site, Reports(EventSource(group, self.system, root), self.engine, group, self.system)

    def services(self) -> Any:
        may = SimpleNamespace(is_admin=True, role="admin", may_see=lambda _: True)
        return SimpleNamespace(
            system=self.system,
            reports=self.reports,
            answers=Answers(),
            shown=SimpleNamespace(name="live"),
            hub=SimpleNamespace(snapshot_threadsafe=lambda _: {"feed": [{"visitor_id": "v1", "path": EVIL}]}),
            keeper=SimpleNamespace(sites=(SITE, "empty.example")),
            sign_ins=SimpleNamespace(of=lambda _: may),
            run=self.run,
        )

    def close(self) -> None:
        async def end() -> None:
            for name in (self.name, f"{self.name}_live"):
                await self.client.drop_database(name)
            await self.client.close()

        self.run(end())
        self.engine.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def some_visits(now: int) -> list[dict[str, Any]]:
    told = []
    for day in range(9, -1, -1):
        for number in range(10 - day):
            own = {"visitor_id": f"v{number}", "event_time": now - day * DAY_MS - 60_000, "country": EVIL}
            told.append({**own, "path": EVIL, "title": EVIL, "channel": "Direct"})
            told.append({**own, "name": "signup", "properties": {EVIL: EVIL}, "event_time": own["event_time"] + 9})
    return [an_event(offset, **{**event, "received_time": now - 60_000}) for offset, event in enumerate(told)]


@pytest.fixture(scope="module")
def running(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(mongo_uri, tmp_path_factory.mktemp("warehouse"))
    services.provide(running.services())
    yield running
    services.provide(None)
    running.close()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The last data that each element was given, by key."""
    found: dict[str, Any] = {}
    show = Element.show

    def noted(self: Element, key: str, data: Any, **heard: Any) -> Any:
        found[key] = data
        return show(self, key, data, **heard)

    monkeypatch.setattr(Element, "show", noted)
    return found


def page_script(name: str) -> None:
    import importlib

    from dashboard import frame, navigation, query_state

    navigation.remember({})
    query_state.begin(name)
    frame.settle_site()
    frame.draw()
    importlib.import_module(f"dashboard.views.{name}").show()


def draw(name: str, **address: Any) -> AppTest:
    page = AppTest.from_function(page_script, kwargs={"name": name}, default_timeout=60)
    for key, value in {"site": SITE, **address}.items():
        page.query_params[key] = value
    page.run()
    assert [error.message for error in page.exception] == []
    return page


TODAY = datetime.now(UTC).date()
CELL = f"{(TODAY - timedelta(days=3)).isoformat()}.1"

ADDRESSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("history", {}),
    ("history", {"period": "today", "by": "hour", "filter": [f"country:{EVIL}", f"properties.{EVIL}:{EVIL}"]}),
    ("history", {"period": "30d", "metric": "bounce_rate", "pages": "exit_page", "sources": "source", "bots": "only"}),
    ("history", {"period": "custom", "from": "2026-11-01", "to": "nonsense", "by": "decade", "metric": "x"}),
    ("history", {"period": "custom", "from": "2030-01-01", "to": "2030-01-05"}),
    ("history", {"period": "custom", "from": "0001-01-01", "to": "0001-01-05", "by": "hour"}),
    ("history", {"period": "12m"}),
    ("history", {"site": "empty.example", "filter": ["country:", "nonsense", "properties.x:"]}),
    ("retention", {"by": "day", "mode": "recurring"}),
    ("retention", {"by": "day", "last": "7", "return": "on_or_after", "event": "signup", "cell": CELL}),
    ("retention", {"by": "month", "cell": "2026-99-99.x", "event": EVIL}),
    ("funnel", {}),
    ("funnel", {"step": [f"page_view~eq~{EVIL}", "signup", EVIL], "order": "any", "within": "1800"}),
    ("funnel", {"site": "empty.example", "step": "x~nonsense~y", "order": "nonsense", "within": "0"}),
    ("visitor", {}),
    ("visitor", {"id": "v0"}),
    ("visitor", {"id": "nobody"}),
)


@pytest.mark.parametrize(("name", "address"), ADDRESSES)
def test_every_address_is_drawn(running: Running, name: str, address: dict[str, Any]) -> None:
    page = draw(name, **address)
    assert all(EVIL not in str(element.value) for element in page.markdown), "a client's text went through Markdown"


def test_the_history_page_shows_the_report(running: Running, shown: dict[str, Any]) -> None:
    draw("history", filter=f"country:{EVIL}")
    query = HistoryQuery(
        from_date=TODAY - timedelta(days=6),
        to_date=TODAY,
        metrics=("visitors", "sessions", "views"),
        filter={"field": "country", "op": "eq", "value": EVIL},
        compare="previous",
    )
    report = running.run(running.reports.history(running.site, query))
    tiles = {tile["key"]: tile for tile in shown["history_overview"]["tiles"]}
    for metric in query.metrics:
        assert tiles[metric]["value"] == fmt.metric(metric, report.totals[metric])
        before = fmt.change(metric, report.totals[metric], report.comparison.totals[metric])
        assert before is not None
        assert tiles[metric]["change"]["words"] == before.words
        assert "until" in tiles[metric]["change"]["period"]
    assert shown["history_places"]["rows"][0]["name"] == EVIL
    assert shown["history_places"]["rows"][0]["picked"]
    assert shown["history_properties"]["rows"][0]["name"] == EVIL
    assert shown["filters"]["filters"][0]["value"] == EVIL


def test_a_custom_range_begins_with_what_is_shown_and_waits_for_its_second_day(
    running: Running, shown: dict[str, Any]
) -> None:
    page = draw("history", period="30d")
    page.segmented_control(key="address:history:period").set_value("custom").run()
    assert page.query_params["from"] == (TODAY - timedelta(days=29)).isoformat()
    assert len(shown["history_overview"]["chart"]["points"]) == 30
    first, second = TODAY - timedelta(days=2), TODAY - timedelta(days=5)
    half = page.date_input(key="custom_days").set_value((first,)).run().date_input(key="custom_days")
    assert tuple(half.value) == (first,), "the first day was forgotten before the second one was clicked"
    assert len(shown["history_overview"]["chart"]["points"]) == 30
    half.set_value((second, first)).run()
    assert (page.query_params["from"], page.query_params["to"]) == (second.isoformat(), first.isoformat())
    assert len(shown["history_overview"]["chart"]["points"]) == 4
    page.segmented_control(key="address:history:period").set_value("today").run()
    assert "from" not in page.query_params


def test_filters_choose_who_takes_the_first_step(running: Running, shown: dict[str, Any]) -> None:
    draw("funnel", step=["page_view", "signup"], filter=[f"page:{EVIL}", "event:signup"])
    steps = shown["funnel_result"]["steps"]
    assert (steps[0]["detail"], steps[0]["visitors"], steps[1]["share"]) == ("as filtered", "10", fmt.percent(1))
    draw("funnel", step=["page_view", "signup"], filter=["country:DE"])
    assert shown["funnel_result"]["empty"][0] == "Nobody took the first step"


def test_a_cell_of_retention_lists_its_visitors(running: Running, shown: dict[str, Any]) -> None:
    draw("retention", by="day", last="7", mode="recurring", cell=CELL)
    rows = {row["label"]: row for row in shown["retention_grid"]["rows"]}
    day = TODAY - timedelta(days=3)
    row = rows[f"{day:%a} {day.day} {day:%b}"]
    assert row["cells"][1]["picked"]
    returned = int(row["cells"][1]["says"].split(": ")[1].split(" of ")[0])
    assert len(shown["cell_visitors"]["visitors"]) == returned > 0


def test_steps_of_a_funnel_are_added_moved_and_removed(running: Running, shown: dict[str, Any]) -> None:
    page = draw("funnel", step=[f"page_view~eq~{EVIL}", "signup"])
    assert [step["name"] for step in shown["funnel_result"]["steps"]] == ["page_view", "signup"]
    page.button(key="step_add").click().run()
    assert len(page.query_params["step"]) == len(shown["funnel_result"]["steps"]) == 3
    page.button(key="step_button_close_2").click().run()
    page.button(key="step_button_arrow_upward_1").click().run()
    assert page.query_params["step"] == ["signup", f"page_view~eq~{EVIL}"]
    assert shown["funnel_result"]["steps"][1]["detail"] == f"on page {EVIL}"
    page.selectbox(key="step_0_op").select("starts_with").run()
    page.text_input(key="step_0_path").input("/a~b").run()
    assert page.query_params["step"][0] == "signup~starts_with~/a~b"


def test_a_visitor_is_erased_after_a_second_question(running: Running, shown: dict[str, Any]) -> None:
    page = draw("visitor", id="v8")
    assert shown["visitor_timeline"]["sessions"]
    page.button(key="visitor_erase").click().run()
    assert shown["visitor_timeline"]["sessions"]
    page.button(key="visitor_erase_confirmed").click().run()
    assert shown["visitor_timeline"]["empty"][0].startswith("Erased on ")

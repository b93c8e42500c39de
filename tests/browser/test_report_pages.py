"""History, Retention, Funnel and Visitor in Chromium: the report's numbers, links that restore."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from pistats import format as fmt
from pistats.reports.funnel import FunnelQuery, FunnelStep
from pistats.reports.history import METRICS, HistoryQuery
from pistats.reports.reports import Reports
from pistats.reports.retention import RetentionQuery
from pistats.share_links import ShareLinks
from pistats.sites import SiteStore
from pistats.warehouse.engine import QueryEngine
from pistats.warehouse.source import EventSource
from tests.browser.layout_shift import MAIN, jumps, watch_shifts
from tests.browser.running_dashboard import Dashboard, screenshot
from tests.browser.visited_site import HOSTILE, SITE, card, open_page

pytestmark = pytest.mark.browser


@pytest_asyncio.fixture(loop_scope="module")
async def reports(told: Dashboard, tmp_path: Path) -> AsyncIterator[Reports]:
    """The reports of the same data, asked directly."""
    engine = QueryEngine(threads=1)
    root = str(tmp_path / "warehouse")
    yield Reports(EventSource(told.group, told.system, root), engine, told.group, told.system)
    engine.close()


async def number_of(told: Dashboard, name: str = SITE) -> Any:
    site = await SiteStore(told.system).get(name)
    assert site is not None
    return site


async def downloaded(started: Any) -> str:
    """The text of a file that the page gave."""
    path = await (await started.value).path()
    return await asyncio.to_thread(Path(path).read_text, "utf-8-sig")


def address(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


MADE_JS = """
window.made = {}
const known = new WeakSet()
const note = (element) => {
  const key = [...element.classList].find((name) => name.startsWith('st-key-history_'))
  if (!key || known.has(element)) return
  known.add(element)
  window.made[key] = (window.made[key] ?? 0) + 1
}
new MutationObserver((records) => {
  for (const { addedNodes } of records)
    for (const node of addedNodes)
      if (node.nodeType === 1) [node, ...node.querySelectorAll('[class*="st-key-history_"]')].forEach(note)
}).observe(document, { subtree: true, childList: true })
"""
"""How often each place of the page was made. Twice: its shape was thrown away, and what stands below jumped."""


async def test_history_shows_what_the_report_says(told: Dashboard, reports: Reports, page: Page) -> None:
    today = datetime.now(UTC).date()
    query = HistoryQuery(from_date=today - timedelta(days=6), to_date=today, metrics=METRICS, compare="previous")
    report = await reports.history(await number_of(told), query)
    await page.add_init_script(MADE_JS)
    await open_page(page, told, "/history")
    for metric in METRICS:
        value: Any = report.totals[metric]
        await expect(page.locator(f'[data-metric="{metric}"]')).to_have_text(fmt.metric(metric, value))
    await expect(page.get_by_text("complete through")).to_be_visible()
    await expect(page.locator(".table[data-loading]")).to_have_count(0)
    made = await page.evaluate("window.made")
    assert len(made) > 7
    assert set(made.values()) == {1}, f"made anew while the page loaded: {made}"
    chart = page.locator(".overview .area")
    await expect(chart.locator(".column")).to_have_count(7)
    await expect(chart.locator(".column.open")).to_have_count(1)
    await chart.focus()
    await page.keyboard.press("ArrowLeft")
    yesterday: Any = report.rows[-2]
    reading = page.locator(".reading")
    await expect(reading).to_contain_text(fmt.weekday(today - timedelta(days=1)))
    await expect(reading.locator("b")).to_have_text(fmt.exact(yesterday[1]))

    by_page = HistoryQuery(from_date=query.from_date, to_date=today, metrics=("visitors",), by=("page",))
    first: Any = (await reports.history(await number_of(told), by_page)).rows[0]
    row = card(page, "Pages").locator(".row").first
    await expect(row.locator(".name")).to_have_text(first[0])
    await expect(row.locator(".number")).to_have_text(fmt.number(first[1]))
    await screenshot(page, "history")


async def test_a_click_filters_the_whole_page_and_the_link_keeps_it(
    told: Dashboard, reports: Reports, page: Page, browser: Browser
) -> None:
    await open_page(page, told, "/history")
    await page.evaluate("window.kept = true")
    await card(page, "Places").locator(".row", has_text="Germany").click()
    await expect(page.locator(".chip")).to_contain_text("Germany")
    today = datetime.now(UTC).date()
    query = HistoryQuery(
        from_date=today - timedelta(days=6), to_date=today, filter={"field": "country", "op": "eq", "value": "DE"}
    )
    visitors: Any = (await reports.history(await number_of(told), query)).totals["visitors"]
    await expect(page.locator('[data-metric="visitors"]')).to_have_text(fmt.number(visitors))
    assert address(page)["filter"] == ["country:DE"]

    await card(page, "Pages").get_by_role("tab", name="Entry").click()
    await expect(card(page, "Pages").locator(".first")).to_have_text("Entry page")
    await page.locator(".tile", has=page.get_by_text("Views", exact=True)).click()
    await expect(page.locator(".overview .name")).to_have_text("Views")
    await page.get_by_text("30 days", exact=True).click()
    await expect(page.locator(".overview .column")).to_have_count(30)
    assert await page.evaluate("window.kept"), "the page was loaded anew"

    other = await (await browser.new_context()).new_page()
    await open_page(other, told, "/history", **address(page))
    await expect(other.locator(".chip")).to_contain_text("Germany")
    await expect(other.locator(".overview .name")).to_have_text("Views")
    await expect(other.locator(".overview .column")).to_have_count(30)
    await expect(card(other, "Pages").locator(".first")).to_have_text("Entry page")
    await other.context.close()

    await page.get_by_role("button", name="Remove the filter Country").click()
    await expect(page.locator(".chip")).to_have_count(0)
    assert "filter" not in address(page)
    await page.go_back()
    await expect(page.locator(".chip")).to_contain_text("Germany")
    await page.go_back()
    await expect(page.locator(".overview .column")).to_have_count(7)
    assert await page.evaluate("window.kept"), "going back loaded the page anew"


async def test_a_typed_date_counts_with_enter(told: Dashboard, page: Page) -> None:
    today = datetime.now(UTC).date()
    first, last = (today - timedelta(days=days) for days in (9, 4))
    await open_page(page, told, "/history", period="custom", **{"from": first, "to": today})
    await expect(page.locator(".overview .column")).to_have_count(10)
    ends = page.get_by_role("group", name="Days end date")
    await ends.get_by_role("spinbutton", name="year").click()
    await page.keyboard.type(f"{last:%Y%m%d}")
    await page.keyboard.press("Enter")
    await expect(page.locator(".overview .column")).to_have_count(6)
    assert (address(page)["from"], address(page)["to"]) == ([first.isoformat()], [last.isoformat()])


async def test_nothing_of_a_narrow_page_overlaps_or_is_cut(told: Dashboard, page: Page) -> None:
    await page.set_viewport_size({"width": 420, "height": 900})
    chosen = {"filter": ["country:IN", "device:mobile", "page:/pricing", "channel:Organic Search"]}
    await open_page(page, told, "/history", **chosen)
    chips = [await chip.bounding_box() for chip in await page.locator(".chip").all()]
    assert len({box["y"] for box in chips if box}) == 1, "filters take more than one line"
    await expect(page.get_by_role("button", name="Clear all")).to_be_in_viewport(ratio=1)
    columns = [await column.bounding_box() for column in await page.locator(".area .column").all()]
    marks = [await mark.bounding_box() for mark in await page.locator(".area .mark").all()]
    assert len(columns) == 7
    assert max(box["x"] + box["width"] for box in columns if box) <= min(box["x"] for box in marks if box)

    await open_page(page, told, "/funnel", step=["page_view~eq~/pricing", "signup"])
    event = await page.locator(".st-key-step_0_event").bounding_box()
    remove = await page.get_by_role("button", name="Remove step 1").bounding_box()
    assert event is not None
    assert remove is not None
    assert event["y"] <= remove["y"] + remove["height"] / 2 <= event["y"] + event["height"]
    assert min(remove["width"], remove["height"]) >= 32, "too small for a finger"

    await open_page(page, told, "/visitor", id="v-3-0")
    typed = await page.get_by_role("textbox", name="Visitor id").bounding_box()
    erase = await page.get_by_role("button", name="Erase").bounding_box()
    assert typed is not None
    assert erase is not None
    assert typed["y"] <= erase["y"] + erase["height"] / 2 <= typed["y"] + typed["height"]


@pytest.mark.parametrize("width", [420, 1600])
async def test_that_a_visitor_is_unknown_is_said_without_a_jump(told: Dashboard, page: Page, width: int) -> None:
    await watch_shifts(page)
    await page.set_viewport_size({"width": width, "height": 900})
    await open_page(page, told, "/visitor", id="nobody")
    await expect(page.get_by_text("This visitor is not known")).to_be_visible()
    assert await jumps(page) == []
    card, controls = page.locator(".timeline .nothing"), page.locator(".st-key-visitor_controls")
    above, below = await controls.bounding_box(), await card.bounding_box()
    assert above is not None
    assert below is not None
    assert 0 < below["y"] - above["y"] - above["height"] < 24, "a gap where the facts of others are"


async def test_annotations_and_exports(told: Dashboard, reports: Reports, page: Page) -> None:
    await open_page(page, told, "/history", period="today")
    await page.get_by_role("button", name="Annotate").click()
    await page.get_by_label("What happened").fill("=1+1 **launch** <b>x</b>")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.locator(".notes .text")).to_have_text("=1+1 **launch** <b>x</b>")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Remove the annotation").click()
    await expect(page.locator(".notes li")).to_have_count(0)

    await page.get_by_role("button", name="Export").click()
    await page.get_by_role("button", name="Pages").wait_for()
    async with page.expect_download() as started:
        await page.get_by_role("button", name="Pages").click()
    text = await downloaded(started)
    assert text.splitlines()[0] == ",".join(("page", *METRICS))
    assert '"\'=HYPERLINK(""http://evil.example"")"' in text


async def test_retention_shows_the_grid_and_who_is_in_a_cell(told: Dashboard, reports: Reports, page: Page) -> None:
    today = datetime.now(UTC).date()
    query = RetentionQuery(from_date=today - timedelta(days=6), to_date=today, mode="recurring")
    report = await reports.retention(await number_of(told), query)
    await open_page(page, told, "/retention", by="day", last="7", mode="recurring")
    rows = page.locator("tbody tr:not(.mean)")
    await expect(rows).to_have_count(7)
    for at, cohort in enumerate(reversed(report.cohorts)):
        await expect(rows.nth(at).locator(".size")).to_have_text(fmt.number(cohort.size))
        shares = [fmt.percent(returned / cohort.size) for returned in cohort.returned]
        assert await rows.nth(at).locator(".cell button").all_text_contents() == shares
    await expect(page.locator("tbody .cell[data-open]")).to_have_count(7)
    await screenshot(page, "retention")

    start = today - timedelta(days=3)
    await page.locator(f'[data-cell="{start.isoformat()}.1"]').click()
    returned = report.cohorts[-4].returned[1]
    await expect(page.locator(".people header")).to_contain_text(f"{returned} visitors")
    await expect(page.locator(".people a")).to_have_count(returned)
    assert address(page)["cell"] == [f"{start.isoformat()}.1"]
    visitor = await page.locator(".people a .text").first.text_content()
    await page.locator(".people a").first.click()
    await page.wait_for_selector(".timeline:not([data-loading]) .event")
    assert urlsplit(page.url).path == "/visitor"
    assert address(page)["id"] == [visitor]


async def test_a_guest_sees_numbers_and_no_people(told: Dashboard, page: Page) -> None:
    token, _ = await ShareLinks(told.system).add(SITE, "for the board")
    cell = f"{(datetime.now(UTC).date() - timedelta(days=3)).isoformat()}.1"
    for _ in range(20):  # the dashboard looks at its links every two seconds
        await page.goto(f"{told.url}/share/{token}")
        if not await page.get_by_role("alert").count():
            break
        await page.wait_for_timeout(500)
    await open_page(page, told, "/history")
    await expect(page.get_by_role("button", name="Export")).to_be_visible()
    await expect(page.get_by_role("button", name="Annotate")).to_have_count(0)
    await open_page(page, told, "/retention", by="day", mode="recurring", cell=cell)
    await page.locator(f'[data-cell="{cell}"]').click()
    await expect(page.get_by_text("complete through")).to_be_visible()
    await expect(page.locator(".people")).to_have_count(0)
    for hidden in ("/visitor?id=v-3-0", "/funnel"):
        await page.goto(told.url + hidden)
        await expect(page.get_by_text("Page not found")).to_be_visible()


async def test_retention_moves_with_the_commit(told: Dashboard, page: Page) -> None:
    today = datetime.now(UTC).date()
    monday = today - timedelta(days=today.weekday())
    key = {"site": SITE, "granularity": "week", "cohort": monday.isoformat(), "partition": 0}
    await told.group.retention.insert_one({"_id": key, "size": 4, "returned": [4]})
    await page.set_viewport_size({"width": 420, "height": 500})
    await open_page(page, told, "/retention")
    size = page.locator("tbody tr:not(.mean) .size").first
    await expect(size).to_have_text("4")
    await expect(page.locator("tbody tr:not(.mean)")).to_have_count(1)  # nobody was there in the weeks before
    await expect(page.locator(".before")).to_contain_text("Nobody was first seen before")
    before = [{**key, "cohort": (monday - timedelta(weeks=n)).isoformat()} for n in range(1, 12)]
    await told.group.retention.insert_many([{"_id": one, "size": 9, "returned": [9]} for one in before])
    await expect(page.locator("tbody tr:not(.mean)")).to_have_count(12)

    await page.locator(".scroll").evaluate("grid => (grid.scrollLeft = 120)")
    await page.evaluate(f"{MAIN}.scrollTop = 300")
    cell = await page.locator(f'[data-cell="{monday.isoformat()}.0"]').element_handle()
    await told.group.retention.update_one({"_id": key}, {"$set": {"size": 5, "returned": [5]}})
    await expect(size).to_have_text("5")
    assert cell is not None
    assert await cell.evaluate("cell => cell.isConnected"), "made anew: a click at this moment is lost"
    assert await page.locator(".scroll").evaluate("grid => grid.scrollLeft") == 120
    assert await page.evaluate(f"{MAIN}.scrollTop") == 300


async def test_a_funnel_is_built_and_its_link_restores_it(told: Dashboard, reports: Reports, page: Page) -> None:
    today = datetime.now(UTC).date()
    on_pricing = {"field": "path", "op": "eq", "value": "/pricing"}
    query = FunnelQuery(
        steps=(FunnelStep("page_view", on_pricing), FunnelStep("signup")),
        from_date=today - timedelta(days=6),
        to_date=today,
    )
    report = await reports.funnel(await number_of(told), query)
    await open_page(page, told, "/funnel", step=["page_view~eq~/pricing", "signup"])
    for number, step in enumerate(report.steps, 1):
        shown = page.locator(f'[data-step="{number}"]')
        await expect(shown.locator("b")).to_have_text(fmt.number(step.visitors))
        await expect(shown.locator("span")).to_have_text(fmt.percent(step.share))
    await expect(page.locator(".way")).to_contain_text(fmt.duration(report.steps[1].median_s))
    await screenshot(page, "funnel")

    await page.get_by_role("button", name="Add a step").click()
    await expect(page.locator(".steps li")).to_have_count(3)
    assert len(address(page)["step"]) == 3
    await page.get_by_role("button", name="Remove step 3").click()
    await expect(page.locator(".steps li")).to_have_count(2)
    await page.get_by_role("button", name="Move step 2 up").click()
    await expect(page.locator(".steps .what b").first).to_have_text("signup")
    assert address(page)["step"] == ["signup", "page_view~eq~/pricing"]


async def test_a_visitor_is_shown_exported_and_erased(told: Dashboard, page: Page) -> None:
    await open_page(page, told, "/visitor", id="v-3-0")
    await expect(page.locator('[data-fact="sessions"]')).to_have_text("2")
    await expect(page.locator('[data-fact="views"]')).to_have_text("3")
    await expect(page.locator('[data-fact="events"]')).to_have_text("4")
    await expect(page.locator(".session")).to_have_count(2)
    await expect(page.locator(".session").last.locator(".event")).to_have_count(3)
    await screenshot(page, "visitor")
    async with page.expect_download() as started:
        await page.get_by_role("button", name="Export").click()
    assert len((await downloaded(started)).splitlines()) == 4

    await page.get_by_role("button", name="Erase").click()
    await page.get_by_role("dialog").get_by_role("button", name="Erase").click()
    await expect(page.get_by_text("Erased on")).to_be_visible()
    erasure = await told.system.erasures.find_one({"_id": {"site": SITE, "visitor_id": "v-3-0"}})
    assert erasure is not None


SLOW_SCRIPTS_JS = """
window.scripts = []
const address = URL.createObjectURL
URL.createObjectURL = (blob) => {
  if (blob.type !== 'text/javascript') return address(blob)
  return `/slow-script/${window.scripts.push(blob) - 1}.js`
}
"""
"""The scripts of elements come from the server instead of from memory."""


async def test_numbers_stay_where_the_shape_is_drawn_after_them(told: Dashboard, page: Page) -> None:
    """Shape and numbers wait together for an element's script, and Chromium draws them in any order."""

    async def slowly(route: Route) -> None:
        number = int(Path(urlsplit(route.request.url).path).stem)
        script = await page.evaluate("(number) => window.scripts[number].text()", number)
        await asyncio.sleep(3)  # longer than the reports take
        await route.fulfill(body=script, content_type="text/javascript")

    await page.add_init_script(SLOW_SCRIPTS_JS)
    await page.route("**/slow-script/*", slowly)
    await open_page(page, told, "/operations")  # what draws elements is there, unlike the scripts of History's
    await page.get_by_role("link", name="History").click()
    elements = page.locator(".stMain .root")
    all_drawn = "(roots) => roots.some((root) => root.matches('.overview')) && roots.every((root) => root.shown)"
    while not await elements.evaluate_all(all_drawn):
        await page.wait_for_timeout(100)  # until each has drawn something
    await expect(page.locator(".stMain .root[data-loading]")).to_have_count(0, timeout=10_000)


async def expect_chosen(page: Page, *names: str) -> None:
    """These segments are chosen, one of each row."""
    for name in names:
        await expect(page.locator(".stMain").get_by_role("radio", name=name, exact=True)).to_be_checked()


async def test_a_link_restores_every_choice(told: Dashboard, page: Page) -> None:
    today = datetime.now(UTC).date()
    days = {"period": "custom", "from": today - timedelta(days=2), "to": today, "filter": "country:IN"}
    tabs = {"sources": "source", "pages": "exit_page", "places": "language", "devices": "os", "property": "n"}
    await open_page(page, told, "/history", **days, **tabs, by="hour", bots="include", metric="views")
    await expect_chosen(page, "Custom", "Hour")
    await expect(page.get_by_role("combobox", name="Bots")).to_have_value("With bots")
    await expect(page.locator(".overview .name")).to_have_text("Views")
    await expect(page.locator(".keys span").first).to_have_text(fmt.days(today - timedelta(days=2), today))
    await expect(page.locator(".chip")).to_contain_text("India")
    selected = page.locator(".table [role=tab][aria-selected=true]")
    await expect(selected).to_have_text(["Source", "Exit", "Language", "System", "n"])

    await open_page(page, told, "/funnel", **days, step=["page_view", "signup"], order="any", within="604800")
    await expect_chosen(page, "Custom", "In any order")
    await expect(page.get_by_role("combobox", name="Within")).to_have_value("within 7 days")
    await expect(page.locator(".chip")).to_contain_text("India")

    asked = {"by": "month", "last": "6", "mode": "recurring", "return": "on_or_after"}
    await open_page(page, told, "/retention", **asked, event="signup", return_event="page_view")
    await expect_chosen(page, "Months", "Recurring", "On or after")
    for name, value in (("Range", "Last 6 months"), ("Did first", "signup"), ("Came back to", "page_view")):
        await expect(page.get_by_role("combobox", name=name)).to_have_value(value)

    await open_page(page, told, "/visitor", id="v-3-0")
    await expect(page.get_by_role("textbox", name="Visitor id")).to_have_value("v-3-0")
    await expect(page.get_by_role("combobox", name="Site")).to_have_value(SITE)


async def test_every_page_fits_and_nothing_on_it_jumps(told: Dashboard, page: Page) -> None:
    evil = {"step": [f"page_view~eq~{HOSTILE[1]}", HOSTILE[0]], "id": f"evil-4 {HOSTILE[4]}", "by": "day"}
    await watch_shifts(page)
    jumped = {}
    for width in (420, 1600):
        await page.set_viewport_size({"width": width, "height": 900})
        for path in ("/history", "/retention", "/funnel", "/visitor", "/", "/operations", "/site-settings"):
            await told.commit()  # a consumer that looked just now: the live page is live, not stale
            await open_page(page, told, path, **evil, filter=f"country:{HOSTILE[0]}")
            jumped[f"{path} on {width} pixels"] = await jumps(page)
            for scroller in ("document.scrollingElement", MAIN):
                assert await page.evaluate(f"{scroller}.scrollWidth <= {scroller}.clientWidth"), (path, scroller)
    assert {where: shifts for where, shifts in jumped.items() if shifts} == {}


async def test_an_empty_site_says_what_to_do(dashboard: Dashboard, page: Page) -> None:
    for path in ("/history", "/funnel", "/retention", "/visitor"):
        await open_page(page, dashboard, path)
        await expect(page.locator(".empty span").first).to_be_visible()

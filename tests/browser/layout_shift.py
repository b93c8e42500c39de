"""How much a page jumps, as Chromium itself reckons it; what someone's own click has caused is not in it."""

from typing import Any

from playwright.async_api import Page, expect

MAX_SHIFT = 0.02
"""People notice 0.1."""

MAIN = "document.querySelector('[data-testid=stMain]')"
"""What scrolls on a page of Streamlit."""

WATCH_JS = """
window.shifts = []
const name = (node) => (node?.nodeType === 1 ? node : node?.parentElement)?.className
const say = ({ node, previousRect: a, currentRect: b }) => `${name(node)}: ${a.y}, ${a.height} → ${b.y}, ${b.height}`
new PerformanceObserver((list) => {
  for (const one of list.getEntries())
    if (!one.hadRecentInput) window.shifts.push({ value: one.value, moved: one.sources.map(say) })
}).observe({ type: 'layout-shift', buffered: true })
"""


async def watch_shifts(page: Page) -> None:
    """Every page that is opened from now on notes its shifts."""
    await page.add_init_script(WATCH_JS)


async def jumps(page: Page) -> list[dict[str, Any]]:
    """The shifts since the page was opened, once it has all that it asks for; none when they are small."""
    await expect(page.locator(".stMain .root[data-loading]")).to_have_count(0)
    shifts: list[dict[str, Any]] = await page.evaluate("window.shifts")
    return shifts if sum(shift["value"] for shift in shifts) > MAX_SHIFT else []

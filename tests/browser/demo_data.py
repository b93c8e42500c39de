"""What a day of a small news site leaves behind: enough for every page to show something."""

from pistats.share_links import ShareLinks
from tests.browser.running_dashboard import Dashboard, event


async def fill(dashboard: Dashboard) -> None:
    """Writes it into the dashboard's databases."""
    await dashboard.commit(*(event(path=f"/p/{n % 5}") for n in range(30)))
    await ShareLinks(dashboard.system).add("news.example", "The board")

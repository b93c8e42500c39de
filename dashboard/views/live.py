"""Live: what is happening now. The page is drawn once; from then on its own socket moves it."""

from urllib.parse import urlsplit

import streamlit as st

from dashboard.frame import pick_site
from dashboard.live_element import live_element
from dashboard.services import services
from pistats.settings import HttpSettings

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104

NO_SITE = """
##### No site yet

Add the site that you want to measure, then reload this page:

```
pistats site add example.com
```

It prints a write key and the one line to paste into your pages.
"""


def show() -> None:
    """Draws the page for the site in the address."""
    running = services()
    site = pick_site(running.keeper.sites)
    if site is None:
        with st.container(border=True):
            st.markdown(NO_SITE)
        return
    live_element(site, running.hub.snapshot_threadsafe(site), _ingest_url(running.settings.http))


def _ingest_url(http: HttpSettings) -> str:
    """Where a page of the site finds the tracker; a server that listens everywhere is where this page came from."""
    own = urlsplit(st.context.url or "").hostname or "127.0.0.1"
    return f"http://{own if http.host in WILDCARDS else http.host}:{http.port}"

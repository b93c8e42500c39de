"""Live: what is happening now. The page is drawn once; from then on its own socket moves it."""

import streamlit as st

from dashboard.frame import pick_site
from dashboard.live_element import live_element
from dashboard.services import services

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
    http = running.settings.http
    live_element(site, running.hub.snapshot_threadsafe(site), f"http://{running.settings.host}:{http.port}")

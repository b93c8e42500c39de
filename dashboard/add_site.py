"""Adding a site: its name, time zone and rules; its keys appear in Site settings, once."""

from zoneinfo import available_timezones

import streamlit as st

from dashboard import query_state
from dashboard.frame import admin_only
from dashboard.parts import said
from dashboard.services import services
from pistats.sites import SiteStore

NEW_KEYS = "new_keys"
"""Where this browser's session keeps keys until they were copied."""


@st.dialog("Add a site")
def dialog() -> None:
    """The form in a window of its own."""
    form()


def form() -> None:
    """Adds the site, shows it, and keeps its keys for Site settings to show."""
    with st.form("add_site", border=False):
        name = st.text_input("Name", placeholder="example.com", max_chars=63)
        here = st.context.timezone
        zones = sorted(available_timezones())
        zone = st.selectbox(
            "Time zone of its days",
            zones,
            index=zones.index(here if here in zones else "UTC"),
            help="It cannot be changed later: days, weeks and months are counted by it.",
        )
        origins = st.text_area(
            "Allowed origins, one a line", placeholder="https://example.com (empty: everywhere)", height=68
        )
        truncate = st.toggle("Cut visitors' addresses before anything is stored", value=True)
        added = st.form_submit_button("Add it", type="primary")
    if not added:
        return
    admin_only()
    with said("add_site"):
        sites = SiteStore(services().system)
        keys = services().run(
            sites.add(name.strip(), zone or "UTC", allowed_origins=origins.split(), truncate_ip=truncate)
        )
        services().run(services().keeper.refresh())
        st.session_state[NEW_KEYS] = keys
        query_state.put({"site": keys.site})
        st.rerun()

"""The script that Streamlit runs for every browser: which pages there are, and the one that is asked for."""

from pathlib import Path

import streamlit as st

from dashboard import frame, navigation, query_state
from dashboard.views import funnel, history, live, operations, retention, site_settings, visitor

ASSETS = Path(__file__).parent / "assets"

EVERYONE, PEOPLE, ADMINS = ("admin", "viewer", "guest"), ("admin", "viewer"), ("admin",)

PAGES = (
    (live.show, "Live", "sensors", "live", EVERYONE),
    (history.show, "History", "bar_chart", "history", EVERYONE),
    (retention.show, "Retention", "grid_on", "retention", EVERYONE),
    (funnel.show, "Funnel", "filter_alt", "funnel", PEOPLE),
    (visitor.show, "Visitor", "person", "visitor", PEOPLE),
    (operations.show, "Operations", "monitor_heart", "operations", PEOPLE),
    (site_settings.show, "Site settings", "tune", "site-settings", ADMINS),
)
"""Every page: what draws it, its name, its icon, its path, who may see it. The first is the one at `/`."""

st.set_page_config(page_title="piStats", page_icon=str(ASSETS / "mark.svg"), layout="wide")
st.logo(str(ASSETS / "wordmark.svg"), size="large", icon_image=str(ASSETS / "wordmark.svg"))
role = frame.signed_in().role
pages = {
    path: st.Page(show, title=title, icon=f":material/{icon}:", url_path=path, default=number == 0)
    for number, (show, title, icon, path, roles) in enumerate(PAGES)
    if role in roles
}
navigation.remember(pages)
page = st.navigation(list(pages.values()), position="top")
query_state.begin(page.url_path)
frame.settle_site()
frame.draw()
page.run()
with st.container(key="end_of_page"):  # as long as it is stale, the whole page is being drawn anew: `shell.css`
    st.text("")

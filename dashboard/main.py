"""The script that Streamlit runs for every browser: which pages there are, and the one that is asked for."""

from pathlib import Path

import streamlit as st

from dashboard.views import live

ASSETS = Path(__file__).parent / "assets"

st.set_page_config(page_title="piStats", page_icon=str(ASSETS / "mark.svg"), layout="wide")
st.logo(str(ASSETS / "wordmark.svg"), size="large", icon_image=str(ASSETS / "wordmark.svg"))
st.navigation(
    [st.Page(live.show, title="Live", icon=":material/sensors:", url_path="live", default=True)],
    position="top",
).run()

"""What surrounds every page: the look, the site picker, the way out. The site is part of the address."""

import streamlit as st

from dashboard.account import sign_out_button

STYLE = """
<style>
  .stMainBlockContainer { max-width: 1560px; padding: 4.6rem 2rem 3rem; }
  [data-testid="stHeader"] { background: transparent; }
  .stVerticalBlock { gap: 0.9rem; }
  [data-testid="stElementContainer"]:has(> [data-testid="stHtml"] style) { display: none; }
  @media (max-width: 640px) { .stMainBlockContainer { padding: 4.2rem 0.9rem 2rem; } }
  /* The state of the live page stands in this row, too. */
  @media (max-width: 640px) { .st-key-site_picker { max-width: calc(100vw - 245px); } }
</style>
"""

PARAMETER = "site"


def pick_site(sites: tuple[str, ...]) -> str | None:
    """The site to show: from the address, else the first. Picking another one changes the address, and back."""
    st.html(STYLE)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        site = _picker(sites) if sites else None
        sign_out_button()
    return site


def _picker(sites: tuple[str, ...]) -> str:
    asked = st.query_params.get(PARAMETER)
    if asked in sites and st.session_state.get("site_of_address") != asked:
        st.session_state["site_picker"] = asked
    if st.session_state.get("site_picker") not in sites:
        st.session_state["site_picker"] = sites[0]
    site = st.selectbox("Site", sites, key="site_picker", label_visibility="collapsed", width=240)
    if asked != site:
        st.query_params[PARAMETER] = site
    st.session_state["site_of_address"] = site
    return str(site)

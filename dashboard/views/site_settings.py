"""Site settings: the sites, their keys and their rules."""

import streamlit as st


def show() -> None:
    """Draws the page for the site in the address."""
    st.info("Site settings is being prepared.", icon=":material/hourglass_empty:")

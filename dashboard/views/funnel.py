"""Funnel: how many take each step."""

import streamlit as st


def show() -> None:
    """Draws the page for the site in the address."""
    st.info("Funnel is being prepared.", icon=":material/hourglass_empty:")

"""Retention: who comes back."""

import streamlit as st


def show() -> None:
    """Draws the page for the site in the address."""
    st.info("Retention is being prepared.", icon=":material/hourglass_empty:")

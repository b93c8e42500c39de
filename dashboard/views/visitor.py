"""Visitor: everything that one visitor did."""

import streamlit as st


def show() -> None:
    """Draws the page for the site in the address."""
    st.info("Visitor is being prepared.", icon=":material/hourglass_empty:")

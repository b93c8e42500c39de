"""Operations: how the system is."""

import streamlit as st


def show() -> None:
    """Draws the page for the site in the address."""
    st.info("Operations is being prepared.", icon=":material/hourglass_empty:")

"""History: what happened, by hour, day, week and month."""

import streamlit as st


def show() -> None:
    """Draws the page for the site and the dates in the address."""
    st.info("History is being prepared.", icon=":material/hourglass_empty:")

"""The first drawing of a page shows the shape of what will come; later ones keep what is there until it is replaced."""

import time
from collections.abc import Callable

import streamlit as st

SENDING_S = 0.05
"""A new run throws away what the last one has not sent yet. Streamlit sends every 10 ms; later than this, no shape is
seen, and that is all."""


def shape_first(key: str, draw_shape: Callable[[], None]) -> None:
    """Draws the shape and starts the script again, unless the element `key` of this page was drawn in the last run.

    Has to come before anything slow. The elements keep their keys, so that they are patched, not replaced.
    """
    if key not in st.session_state:
        draw_shape()
        time.sleep(SENDING_S)
        st.rerun()

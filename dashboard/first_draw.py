"""The first drawing of a page shows the shape of what will come; later ones keep what is there until it is replaced."""

from collections.abc import Callable

import streamlit as st


def shape_first(key: str, draw_shape: Callable[[], None]) -> None:
    """Draws the shape and starts the script again, unless the element `key` of this page was drawn in the last run.

    Has to come before anything slow. The elements keep their keys, so that they are patched, not replaced.
    """
    if key not in st.session_state:
        draw_shape()
        st.rerun()

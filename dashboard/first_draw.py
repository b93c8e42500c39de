"""The first drawing of a page shows the shape of what will come; later ones keep what is there until it is replaced."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import streamlit as st

from pistats import format as fmt

SENDING_S = 0.05
"""A new run throws away what the last one has not sent yet. Streamlit sends every 10 ms; later than this, no shape is
seen, and that is all."""


def is_first(key: str) -> bool:
    """Whether the element `key` of this page was not drawn in the last run: nothing slow should be waited for."""
    return key not in st.session_state


def shape_first(key: str, draw_shape: Callable[[], None]) -> None:
    """Draws the shape and starts the script again, unless the element `key` of this page was drawn in the last run.

    Has to come before anything slow. The elements keep their keys and places, so that they are patched, not replaced.
    """
    if is_first(key):
        draw_shape()
        time.sleep(SENDING_S)
        st.rerun()


def as_fragment() -> AbstractContextManager[object]:
    """For the shape of what a fragment will draw: it does so in a container, and elsewhere it would be made anew."""
    return st.container()


def say_counting(freshness: AbstractContextManager[object], timezone: str) -> None:
    """Keeps the room in which the page will say how far its numbers reach: as long as those words."""
    with freshness:
        st.caption(counting_words(timezone), help="The numbers are on their way.")


def counting_words(timezone: str) -> str:
    """As long as the words that will say how far the numbers reach."""
    return f"complete through --:--:-- · {fmt.timezone(timezone)}"

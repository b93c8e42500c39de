"""Small things that pages made of Streamlit's own widgets share: cards, headings with definitions, plain texts.

Texts that a person or an event has brought go through `plain`: Streamlit reads Markdown in everything else.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from pistats.errors import PistatsError
from pistats.glossary import GLOSSARY


@contextmanager
def card(key: str, title: str, caption: str = "", term: str | None = None) -> Iterator[None]:
    """A titled box. `title` and `caption` are ours; `term` is a key of the glossary, shown on hover."""
    with st.container(key=f"card_{key}"):
        st.markdown(f"### {title}", help=GLOSSARY[term].definition if term else None)
        if caption:
            st.caption(caption)
        yield


def plain(text: str) -> None:
    """Any text, as it is."""
    st.text(text)


def problem(key: str, text: str) -> None:
    """What went wrong and what to do, as it is."""
    with st.container(key=f"problem_{key}"):
        st.text(text)


def done(key: str, text: str) -> None:
    """What was done, as it is."""
    with st.container(key=f"done_{key}"):
        st.text(text)


@contextmanager
def said(key: str) -> Iterator[None]:
    """Shows what the core refused, in its own words, instead of failing the page."""
    try:
        yield
    except PistatsError as error:
        problem(key, str(error))

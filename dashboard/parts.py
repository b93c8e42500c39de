"""Small things that pages made of Streamlit's own widgets share: cards, headings with definitions, plain texts.

Texts that a person or an event has brought go through `plain`: Streamlit reads Markdown in everything else.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from pistats.errors import PistatsError
from pistats.glossary import GLOSSARY

STYLE = """
<style>
  [class*="st-key-card_"] {
    padding: 20px 22px 22px; gap: 12px; border-radius: 14px; border: 1px solid light-dark(#e4e5ea, #2a2d36);
    background: light-dark(#fff, #181a20); box-shadow: 0 1px 2px rgb(10 10 30 / 3%);
  }
  [class*="st-key-card_"] h3 { font-size: 15px; font-weight: 650; line-height: 20px; padding: 0; }
  [class*="st-key-card_"] .stMarkdown, [class*="st-key-card_"] [data-testid="stMarkdownContainer"] { margin-bottom: 0; }
  [class*="st-key-card_"] [data-testid="stCaptionContainer"] { margin: -6px 0 4px; }
  [class*="st-key-card_"] [data-testid="stCaptionContainer"] p { margin: 0; }
  [class*="st-key-problem"] { padding: 10px 14px; border-radius: 10px; background: light-dark(#fdeef0, #3a1d24); }
  [class*="st-key-problem"] [data-testid="stText"] * { color: light-dark(#a3253b, #ff9aa8); }
  [class*="st-key-done"] { padding: 10px 14px; border-radius: 10px; background: light-dark(#e8f6ee, #14301f); }
  [class*="st-key-done"] [data-testid="stText"] * { color: light-dark(#0f6b3d, #7ddba6); }
  .st-key-waiting_for_event { padding: 10px 14px; border-radius: 10px; background: light-dark(#eeeefb, #23243a); }
  .st-key-waiting_for_event p { font-size: 14px; line-height: 20px; }
  [data-testid="stHeaderActionElements"] a { display: none; }
  [data-testid="stText"] { font: inherit; font-size: 14px; line-height: 20px; }
  [data-testid="stText"] * { white-space: pre-wrap; overflow-wrap: anywhere; }
</style>
"""


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

"""From one page to another without loading the browser's window anew."""

from collections.abc import Mapping
from typing import Any, NoReturn

import streamlit as st

PAGES = "pages_by_path"


def remember(pages: Mapping[str, Any]) -> None:
    """The pages that whoever is looking may see, by path. In every run: Streamlit makes them anew."""
    st.session_state[PAGES] = dict(pages)


def go(path: str, parameters: Mapping[str, str]) -> NoReturn:
    """Ends this run and shows the page at `path` with these parameters in its address. Not in a callback."""
    st.switch_page(st.session_state[PAGES][path], query_params=dict(parameters))
    raise AssertionError("the page has changed")

"""What surrounds every page: the look, the site picker, the way out. The site is part of the address."""

from urllib.parse import urlsplit

import streamlit as st
from streamlit.runtime.scriptrunner import StopException

from dashboard import query_state
from dashboard.account import sign_out_button
from dashboard.services import services
from dashboard.sign_in import SignIn

NO_SITE = """
##### No site yet

Add the site that you want to measure on the page [Site settings](/site-settings), or by a command:

```
pistats site add example.com
```

Both give a write key and the one line to paste into your pages.
"""

NO_SITE_FOR_OTHERS = """
##### No site yet

An admin adds the first one in *Site settings*; its numbers then appear here.
"""

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104

SITE, KEY = "site", "site_picker"


def signed_in() -> SignIn:
    """Who is looking. The gate has let the browser in; what it may do is decided here, at every run."""
    sign_in = services().sign_ins.of(st.context.cookies.to_dict())
    if sign_in is None:  # it ended a moment ago: the gate closes the socket, and the page goes to the login
        st.stop()
    return sign_in


def admin_only() -> None:
    """Has to come first in whatever changes something: ends the run of anyone else.

    What a page's run has prepared for an admin, a later run may be asked for by another sign-in of the same browser.
    """
    if not signed_in().is_admin:
        st.stop()
        raise StopException  # where there is no run to stop, nothing goes on either


def sites_to_see() -> tuple[str, ...]:
    """The sites that whoever is looking may see, by name."""
    sign_in = signed_in()
    return tuple(site for site in services().keeper.sites if sign_in.may_see(site))


def draw() -> None:
    """Draws what stands above every page. Picking another site changes the address, and back."""
    sites = sites_to_see()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        if sites:
            st.session_state[KEY] = chosen_site()
            st.selectbox("Site", sites, key=KEY, label_visibility="collapsed", width=240, on_change=_picked)
        sign_out_button()


def chosen_site() -> str | None:
    """The site to show: from the address, else the first; None when there is none."""
    sites = sites_to_see()
    asked = query_state.value(SITE)
    return asked if asked in sites else next(iter(sites), None)


def settle_site() -> None:
    """Names the shown site in the address, so that the address can be sent to someone."""
    site = chosen_site()
    if site and query_state.value(SITE) != site:
        query_state.put({SITE: site})


def site_or_hint() -> str | None:
    """The site that a page shows; draws what to do when there is none yet."""
    site = chosen_site()
    if site is None:
        with st.container(border=True):
            st.markdown(NO_SITE if signed_in().is_admin else NO_SITE_FOR_OTHERS)
    return site


def ingest_url() -> str:
    """Where a page of the site finds the tracker; a server that listens everywhere is where this page came from."""
    http = services().settings.http
    own = urlsplit(st.context.url or "").hostname or "127.0.0.1"
    return f"http://{own if http.host in WILDCARDS else http.host}:{http.port}"


def _picked() -> None:
    query_state.put({SITE: st.session_state.get(KEY)})

"""The share links of a site: made, shown once, listed, revoked."""

from datetime import UTC, datetime

import streamlit as st

from dashboard.frame import admin_only
from dashboard.parts import card, plain, problem
from dashboard.services import services
from pistats import format as fmt
from pistats.share_links import MAX_LABEL_CHARS, ShareLink, ShareLinks
from pistats.sites import Site

NEW_LINK = "new_share_link"


def show(site: Site) -> None:
    """Draws the card. Whoever has a link sees Live, History and Retention of this site, and nothing else."""
    links = ShareLinks(services().system)
    caption = "Whoever has a link sees Live, History and Retention of this site, without a password, and nothing else."
    with card("share", "Share links", caption):
        new = st.session_state.get(NEW_LINK)
        if new is not None and new[0] == site.name:
            st.code(new[1], language=None, wrap_lines=True)
            problem("share_once", "Copy it now: only its hash is kept.")
        with st.form("share", border=False, clear_on_submit=True):
            label = st.text_input("For whom", placeholder="The board", max_chars=MAX_LABEL_CHARS)
            made = st.form_submit_button("Make a link", icon=":material/link:")
        if made:
            admin_only()
            token, _ = services().run(links.add(site.name, label))
            services().run(services().keeper.refresh())
            st.session_state[NEW_LINK] = (site.name, f"{_own_address()}/share/{token}")
            st.rerun()
        for link in services().run(links.list(site.name)):
            _row(link)


def _row(link: ShareLink) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        made = datetime.fromtimestamp(link.created_time / 1000, UTC).date()
        plain(f"{link.label or 'Without a name'} · {fmt.day(made)}")
        with st.popover("Revoke", key=f"revoke_{link.share_id}"):
            st.markdown("Whoever has this link sees nothing within seconds. The link cannot be brought back.")
            key = f"revoke_confirmed_{link.share_id}"
            st.button("Revoke it", key=key, type="primary", on_click=_revoke, args=(link.share_id,))


def _revoke(share_id: str) -> None:
    admin_only()
    services().run(ShareLinks(services().system).revoke(share_id))
    services().run(services().keeper.refresh())
    st.session_state.pop(NEW_LINK, None)


def _own_address() -> str:
    """Where others reach this dashboard: as configured, else as this browser does."""
    configured = services().settings.dashboard.public_url
    own = st.context.url or ""
    return configured or "/".join(own.split("/")[:3])

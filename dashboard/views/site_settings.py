"""Site settings: a site's snippet, rules, keys and share links, and new sites. For admins."""

from datetime import datetime
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import add_site, share_links_card
from dashboard.frame import admin_only, chosen_site, ingest_url
from dashboard.parts import card, done, problem, said
from dashboard.services import services
from pistats import format as fmt
from pistats.sites import Site, SiteStore, WhichKey
from pistats.visitors.retention import ever_seen

NEW_KEYS = add_site.NEW_KEYS

SAVED = "rules_saved"

KEEP = {None: "For ever", 30: "30 days", 90: "90 days", 180: "180 days", 365: "One year", 730: "Two years"}
"""What is offered; the command line takes any number of days."""

LOOK_S = 2.0
"""How often a page that waits for the first event looks."""


def show() -> None:
    """Draws the settings of the site in the address."""
    name = chosen_site()
    site = services().run(SiteStore(services().system).get(name)) if name else None
    if site is None:
        with card("first", "Your first site", "A site is what you measure: a name, a time zone and two keys."):
            add_site.form()
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption("How this site is measured, and who may look. Changes count within seconds.", width="content")
        if st.button("Add a site", icon=":material/add:", type="primary"):
            add_site.dialog()
    left, right = st.columns(2, gap="small")
    with left:
        _snippet(site)
        _rules(site)
    with right:
        _keys(site)
        share_links_card.show(site)


def _snippet(site: Site) -> None:
    with card("snippet", "Snippet", "Paste it into every page, before the closing head tag."):
        new = st.session_state.get(NEW_KEYS)
        key = new.write_key if new is not None and new.site == site.name and new.write_key else "WRITE_KEY"
        st.code(f'<script defer src="{ingest_url()}/t.js" data-key="{key}"></script>', language=None, wrap_lines=True)
        if key == "WRITE_KEY":
            st.caption("Write the site's write key in place of WRITE_KEY. It was shown when it was made.")
        _waiting(site)


def _waiting(site: Site) -> None:
    """Turns by itself when the first event has come, and then looks no more."""
    last = _last_event_time(site.name)
    if last is not None:
        return _received(last, site.timezone)
    if services().run(ever_seen(services().shown.database, site.name)):
        return problem("received_once", "Events have come, and none in the last days: is the tag still in its pages?")

    @st.fragment(run_every=LOOK_S)
    def looking() -> None:
        if _last_event_time(site.name) is not None:
            st.rerun()
        with st.container(key="waiting_for_event", horizontal=True, vertical_alignment="center"):
            st.markdown(":material/hourglass_top: Waiting for the first event…")

    looking()
    return None


def _received(last: int, timezone: str) -> None:
    """As a time: the words stay as they are while the page is open."""
    time = datetime.fromtimestamp(last / 1000, ZoneInfo(timezone))
    when = f"{fmt.day(time.date())}, {time:%H:%M:%S} · {fmt.timezone(timezone)}"
    done("received", f"✓ Received: the last event came on {when}")


def _last_event_time(site: str) -> int | None:
    feed = services().hub.snapshot_threadsafe(site)["feed"]
    return max((int(event["event_time"]) for event in feed), default=None)


def _rules(site: Site) -> None:
    with card(
        "rules", "Rules", f"Time zone of its days: {site.timezone}. It is fixed, because the past was counted by it."
    ):
        with st.form(f"rules_{site.name}", border=False):
            origins = st.text_area(
                "Allowed origins, one a line",
                "\n".join(site.allowed_origins),
                placeholder="https://example.com",
                help="Events are taken from pages of these origins only. Empty: from everywhere.",
                height=96,
            )
            choices = KEEP if site.keep_days in KEEP else {**KEEP, site.keep_days: f"{site.keep_days} days"}
            keep = st.selectbox(
                "Keep events",
                list(choices),
                index=list(choices).index(site.keep_days),
                format_func=choices.__getitem__,
                help="Older days are removed from the warehouse once a day. Live numbers are kept for eight days.",
            )
            truncate = st.toggle(
                "Cut visitors' addresses before anything is stored",
                site.truncate_ip,
                help="IPv4 to /24, IPv6 to /48. Countries stay right, persons cannot be found.",
            )
            saved = st.form_submit_button("Save")
        if saved:
            admin_only()
            with said("rules"):
                changed = SiteStore(services().system).change(
                    site.name, allowed_origins=origins.split(), truncate_ip=truncate, keep_days=keep
                )
                services().run(changed)
                st.session_state[SAVED] = (site.name, _saved(site.keep_days, keep))
                st.rerun()  # the form has to begin with what is stored now, else its next values are lost
        name, text = st.session_state.pop(SAVED, ("", ""))
        if name == site.name:
            done("rules", text)


def _saved(before: int | None, keep: int | None) -> str:
    says = "Saved. It counts for new events within two seconds."
    if keep is None or (before is not None and keep >= before):
        return says
    return f"{says} Events of more than {keep} days ago are deleted within a day: until then this can be taken back."


def _keys(site: Site) -> None:
    with card("keys", "Keys", "The write key sends events, the read key asks the query API. Each is shown once."):
        new = st.session_state.get(NEW_KEYS)
        if new is not None and new.site == site.name:
            for label, key in (("Write key", new.write_key), ("Read key", new.read_key)):
                if key:
                    st.caption(label)
                    st.code(key, language=None)
            problem("once", "Copy it now: only its hash is kept.")
            st.button("I have copied it", on_click=lambda: st.session_state.pop(NEW_KEYS, None))
        with st.container(horizontal=True):
            _rotation(site.name, "write", "New write key", "Pages that use the old one are refused within seconds.")
            _rotation(site.name, "read", "New read key", "Programs that use the old one are refused within seconds.")


def _rotation(site: str, which: WhichKey, label: str, warning: str) -> None:
    with st.popover(label, icon=":material/key:"):
        st.markdown(warning)
        st.button("Replace it", key=f"rotate_{which}", type="primary", on_click=_rotate, args=(site, which))


def _rotate(site: str, which: WhichKey) -> None:
    admin_only()
    st.session_state[NEW_KEYS] = services().run(SiteStore(services().system).rotate_key(site, which))

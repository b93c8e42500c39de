"""The sign-out button. Leaving needs a POST of the browser itself, so that no other site can sign anyone out."""

import streamlit as st

HTML = """
<button type="button" title="Sign out" aria-label="Sign out"><svg viewBox="0 0 24 24" width="18" height="18" fill="none"
stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"><path
d="M14 4h4a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-4M10 8l-4 4 4 4M6 12h9"/></svg></button>
"""

CSS = """
button {
  width: 40px; height: 40px; display: grid; place-items: center; padding: 0; cursor: pointer; border-radius: 10px;
  border: 1px solid var(--st-border-color); background: var(--st-secondary-background-color);
  color: var(--st-text-color);
}
button svg { opacity: .65; }
button:hover svg { opacity: 1; }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
"""

JS = """
export default function ({ parentElement }) {
  parentElement.querySelector('button').onclick = async () => {
    await fetch('/logout', { method: 'POST', redirect: 'manual' })
    location.assign('/login')
  }
}
"""

_button = st.components.v2.component("pistats.sign_out", html=HTML, css=CSS, js=JS)


def sign_out_button() -> None:
    """Ends the sign-in of this browser and shows the login page."""
    _button(key="sign_out", width="content")


// A socket that closes may say that the sign-in is over, which it cannot tell: then the page goes to the login.
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given)
    this.addEventListener('close', () => fetch('/auth/check', { cache: 'no-store' }).then((answer) => answer.status === 401 && location.reload(), () => {}))
    if (new URL(this.url).pathname === '/_stcore/stream') follow(this)
  }
}

// Without the socket of its script the page shows what was. Streamlit tries again by itself, and says so in a window that
// covers everything: `shell.css` has a line at the foot of the page in its place.
const follow = (socket) => {
  follow.latest = socket
  const lost = (now) => () => socket === follow.latest && say(now ? 'reconnecting… Until then the page shows what it knew.' : '')
  socket.addEventListener('open', lost(false))
  socket.addEventListener('close', lost(true))
}

const say = (text) => {
  const line = document.getElementById('connection') ?? document.body.appendChild(document.createElement('div'))
  Object.assign(line, { id: 'connection', role: 'status', textContent: text })
  document.documentElement.toggleAttribute('data-lost', !!text)
}

// A date that was typed counts with Enter, as everywhere. Streamlit waits until the field is left, or for Escape.
addEventListener('keydown', (event) => {
  const segment = event.key === 'Enter' && event.target.closest?.('[data-testid="stDateInputField"] [role="spinbutton"]')
  if (segment) segment.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true, cancelable: true }))
}, { capture: true })

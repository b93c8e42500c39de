const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 4000

// Long frames come compressed.
const unpack = async (data) => (typeof data === 'string' ? data : new Response(data.stream().pipeThrough(new DecompressionStream('deflate-raw'))).text())

// A socket that comes back by itself: after an error, when the network returns, when the tab is looked at again.
// The first frame has everything, each later one what has changed.
class Connection {
  constructor(address, receive, changed) {
    Object.assign(this, { address, receive, changed, failures: 0, open: false, closed: false })
    this.wake = () => document.hidden || this.open || this.connect()
    addEventListener('online', this.wake)
    document.addEventListener('visibilitychange', this.wake)
    this.connect()
  }

  connect() {
    clearTimeout(this.retry)
    if (this.closed) return
    this.drop()
    const url = new URL(this.address, location.href)
    url.protocol = url.protocol.replace('http', 'ws')
    const socket = new WebSocket(url)
    this.socket = socket
    this.latest = {}
    let texts = Promise.resolve()
    socket.onopen = () => ((this.open = true), this.changed())
    socket.onmessage = (message) => (texts = texts.then(() => unpack(message.data)).then((text) => queueMicrotask(() => this.take(socket, text))))
    socket.onclose = () => this.again()
  }

  take(socket, text) {
    if (socket !== this.socket || this.closed) return
    this.failures = 0
    this.latest = { ...this.latest, ...JSON.parse(text) }
    this.receive(this.latest)
  }

  again() {
    this.open = false
    this.failures += 1
    this.changed()
    const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.failures - 1))
    this.retry = setTimeout(() => this.connect(), wait * (0.7 + 0.6 * Math.random()))
  }

  restart() {
    this.open = false
    this.failures += 1
    this.connect()
  }

  drop() {
    if (!this.socket) return
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null
    this.socket.close()
    this.open = false
  }

  close() {
    this.closed = true
    clearTimeout(this.retry)
    removeEventListener('online', this.wake)
    document.removeEventListener('visibilitychange', this.wake)
    this.drop()
  }
}

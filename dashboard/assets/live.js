// The live page: takes snapshots from our socket and patches the page. Event text only ever goes through textContent.

const TREND_MS = 450
const SILENCE_MS = 3500 // three snapshots missed: the server or the network has stopped
const STALE_S = 15 // a commit takes half a second; this far behind, the numbers are not "now"
const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 4000
const TEXT_CHARS = 300 // what a line can show; the rest is cut, not laid out

const regions = new Intl.DisplayNames(['en'], { type: 'region', fallback: 'none' })
const whole = new Intl.NumberFormat('en-US')
const compact = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 })

const number = (n) => (n < 10000 ? whole : compact).format(n)
const make = (tag, className, text) => {
  const element = document.createElement(tag)
  if (className) element.className = className
  if (text !== undefined) element.textContent = text
  return element
}
const write = (element, text) => {
  const shown = String(text).slice(0, TEXT_CHARS)
  if (element.textContent !== shown) element.textContent = shown
}
const span = (s) => (s < 60 ? `${Math.round(s)} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`)
const time = (value) => (typeof value === 'number' ? value : Date.parse(value))

// A number that counts to its new value instead of jumping.
function counter(element) {
  let shown = null
  let frame = 0
  return (value) => {
    if (value === shown) return
    const from = shown ?? value
    shown = value
    element.dataset.value = value
    cancelAnimationFrame(frame)
    if (document.hidden || from === value || matchMedia('(prefers-reduced-motion: reduce)').matches) return write(element, number(value))
    const start = performance.now()
    const step = (now) => {
      const part = Math.min(1, (now - start) / TREND_MS)
      write(element, number(Math.round(from + (value - from) * (1 - (1 - part) ** 3))))
      if (part < 1) frame = requestAnimationFrame(step)
    }
    step(start)
    frame = requestAnimationFrame(step)
  }
}

// Rows that keep their element while their key stays, and glide to their rank.
function ranked(container, build) {
  const rows = new Map()
  const height = () => parseFloat(getComputedStyle(container).getPropertyValue('--row'))
  return (items) => {
    const step = height()
    const seen = new Set()
    items.forEach((item, rank) => {
      const key = item.key
      if (seen.has(key)) return
      seen.add(key)
      let row = rows.get(key)
      if (!row) {
        row = build()
        row.element.classList.add('row', 'coming')
        row.element.style.transform = `translateY(${(rank - (container.dataset.from === 'top' ? 1 : 0)) * step}px)`
        container.append(row.element)
        row.element.offsetWidth // lets the row start from where it is
        row.element.classList.remove('coming')
        rows.set(key, row)
      }
      row.element.style.transform = `translateY(${rank * step}px)`
      row.patch(item)
    })
    for (const [key, row] of rows) {
      if (seen.has(key)) continue
      rows.delete(key)
      row.element.classList.add('gone')
      setTimeout(() => row.element.remove(), 300)
    }
  }
}

function bar() {
  const element = make('div')
  const part = make('div', 'part')
  const code = make('span', 'code')
  const name = make('span', 'name')
  const tag = make('span', 'tag', 'new')
  const more = make('span', 'more')
  const value = make('span', 'value')
  element.append(part, code, name, tag, more, value)
  return {
    element,
    patch(item) {
      element.classList.toggle('unknown', !!item.unknown)
      part.style.transform = `scaleX(${item.share})`
      write(name, item.name)
      name.title = item.name
      write(value, number(item.value))
      code.hidden = !item.code
      write(code, item.code ?? '')
      tag.hidden = !item.isNew
      more.hidden = !item.more
      write(more, item.more ?? '')
    },
  }
}

function happening() {
  const element = make('div')
  const who = make('span', 'who')
  const text = make('div', 'text')
  const what = make('div', 'what')
  const chip = make('span', 'chip')
  const name = make('span', 'name')
  const where = make('div', 'where')
  const detail = make('span')
  const age = make('span', 'age')
  what.append(chip, name)
  where.append(detail)
  text.append(what, where)
  element.append(who, text, age)
  return {
    element,
    patch(item) {
      who.style.background = `hsl(${item.hue} 62% 56%)`
      chip.hidden = !item.chip
      write(chip, item.chip ?? '')
      write(name, item.name)
      name.title = item.title
      write(detail, item.detail)
      write(age, item.age)
    },
  }
}

const hue = (text) => [...String(text)].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7)
const country = (code) => {
  if (!/^[A-Z]{2}$/.test(code ?? '')) return code
  return regions.of(code) ?? code
}
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1)

// One row of the answer as a bar: what it is called, how much, and its share of the largest.
const PANELS = {
  top_pages: { name: (row) => row.path, value: (row) => row.views, unknown: 'No path' },
  sources: { name: (row) => row.source, value: (row) => row.visitors, unknown: 'Direct' },
  countries: { name: (row) => country(row.country), value: (row) => row.visitors, unknown: 'Not known', code: (row) => (/^[A-Z]{2}$/.test(row.country ?? '') ? row.country : null) },
  devices: { name: (row) => row.device && capital(row.device), value: (row) => row.visitors, unknown: 'Not known' },
  events: { name: (row) => row.name, value: (row) => row.count, unknown: 'No name' },
  trending: { name: (row) => row.topic, value: (row) => row.count, unknown: 'No topic', isNew: (row) => row.new, more: (row) => (row.new ? '' : `${number(Math.round(row.expected * 10) / 10)} expected`) },
}

function bars(panel, rows) {
  const most = Math.max(1, ...rows.map(panel.value))
  return rows.map((row) => {
    const name = panel.name(row)
    return {
      key: name ?? '\u0000',
      name: name ?? panel.unknown,
      unknown: name == null,
      value: panel.value(row),
      share: panel.value(row) / most,
      code: panel.code?.(row),
      isNew: panel.isNew?.(row),
      more: panel.more?.(row),
    }
  })
}

function happenings(events, now) {
  return events.map((event) => {
    const view = event.name === 'page_view'
    const detail = [event.source, country(event.country), event.device && capital(event.device), event.browser]
    return {
      key: event.event_id ?? `${event.partition}.${event.offset}`,
      hue: hue(event.visitor_id),
      chip: view ? null : event.name,
      name: event.path ?? event.url ?? (view ? '—' : ''),
      title: event.title ?? event.path ?? '',
      detail: detail.filter(Boolean).join(' · ') || 'Not known',
      age: age(now - event.event_time),
    }
  })
}
const age = (ms) => (ms < 1500 ? 'now' : span(ms / 1000))

// Thirty bars by minute; each keeps its element while it wanders from right to left.
function minutesChart(root) {
  const container = root.querySelector('.bars')
  const reading = root.querySelector('.reading')
  const [top, middle] = root.querySelectorAll('.gridline span')
  const slots = new Map()
  const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
  let hovered = null
  let latest = null
  const read = () => {
    const minute = hovered ?? latest
    if (minute) write(reading, `${hovered ? clock.format(time(minute.minute)) : 'this minute'} · ${number(minute.views)} views · ${number(minute.visitors)} visitors`)
  }
  return (minutes) => {
    const most = ceiling(Math.max(4, ...minutes.map((minute) => minute.views)))
    write(top, number(most))
    write(middle, number(most / 2))
    const seen = new Set()
    minutes.forEach((minute, index) => {
      const key = time(minute.minute)
      seen.add(key)
      let slot = slots.get(key)
      if (!slot) {
        slot = make('div', 'slot')
        slot.append(make('i'))
        slot.style.left = slots.size ? `${((index + 1) / minutes.length) * 100}%` : `${(index / minutes.length) * 100}%`
        container.append(slot)
        slot.offsetWidth
        slot.onpointerenter = () => ((hovered = slot.minute), read())
        slot.onpointerleave = () => ((hovered = null), read())
        slots.set(key, slot)
      }
      if (hovered && slot.minute === hovered) hovered = minute
      slot.minute = minute
      slot.style.left = `${(index / minutes.length) * 100}%`
      slot.classList.toggle('open', index === minutes.length - 1)
      slot.firstChild.style.height = minute.views ? `max(3px, ${(minute.views / most) * 100}%)` : '0'
    })
    for (const [key, slot] of slots) {
      if (seen.has(key)) continue
      slots.delete(key)
      slot.remove()
    }
    latest = minutes[minutes.length - 1]
    read()
  }
}
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value && step % 2 === 0)
}

// One bubble for all definitions, placed inside the window.
function definitions(root, glossary) {
  const tip = make('div', 'tip')
  tip.setAttribute('role', 'tooltip')
  root.append(tip)
  const show = (element) => {
    write(tip, glossary[element.dataset.term].definition)
    const box = element.getBoundingClientRect()
    // The container query makes .live the box that "fixed" refers to.
    const own = root.getBoundingClientRect()
    const left = Math.min(box.left, innerWidth - tip.offsetWidth - 12)
    tip.style.left = `${Math.max(12, left) - own.left}px`
    tip.style.top = `${box.bottom + 8 - own.top}px`
    tip.classList.add('shown')
  }
  const hide = () => tip.classList.remove('shown')
  for (const element of root.querySelectorAll('[data-term]')) {
    element.tabIndex = 0
    element.setAttribute('aria-description', glossary[element.dataset.term].definition)
    element.onpointerenter = element.onfocus = () => show(element)
    element.onpointerleave = element.onblur = hide
  }
  root.querySelector('.status').title = glossary.lag.definition
}

class Page {
  constructor(root, data) {
    this.root = root
    this.lastMessage = 0
    this.numbers = [...root.querySelectorAll('[data-number]')].map((element) => [element.dataset.number, counter(element)])
    this.chart = minutesChart(root)
    this.panels = Object.keys(PANELS).map((key) => {
      const panel = root.querySelector(`[data-panel="${key}"]`)
      return { key, panel, draw: ranked(panel.querySelector('.rows'), bar) }
    })
    this.feed = root.querySelector('[data-panel="feed"]')
    const rows = this.feed.querySelector('.rows')
    rows.dataset.from = 'top'
    this.drawFeed = ranked(rows, happening)
    definitions(root, data.glossary)
    root.querySelector('.snippet button').onclick = (click) => this.copy(click.target)
    this.ticking = setInterval(() => this.tick(), 500)
  }

  use(data) {
    this.data = data
    write(this.root.querySelector('.waiting .site'), data.site)
    write(this.root.querySelector('.snippet code'), data.snippet)
    write(this.root.querySelector('.waiting .hint'), data.hint)
    if (this.address === data.socket) return
    this.address = data.socket
    this.show(data.snapshot)
    this.socket?.close()
    this.connection = new Connection(data.socket, (snapshot) => this.receive(snapshot), () => this.tick())
    this.socket = this.connection
  }

  receive(snapshot) {
    this.lastMessage = performance.now()
    if (snapshot.site === this.data.site) this.show(snapshot)
    this.tick()
  }

  show(snapshot) {
    this.snapshot = snapshot
    for (const [key, set] of this.numbers) set(snapshot[key])
    this.chart(snapshot.views_per_minute)
    for (const { key, panel, draw } of this.panels) {
      const rows = snapshot[key] ?? []
      const room = Number(getComputedStyle(panel).getPropertyValue('--rows'))
      panel.toggleAttribute('data-none', rows.length === 0)
      draw(bars(PANELS[key], rows).slice(0, room))
    }
    this.showFeed(snapshot)
    const empty = !snapshot.feed.length && !snapshot.visitors_30m && !snapshot.views_per_minute.some((minute) => minute.views)
    this.root.dataset.empty = empty
    this.root.querySelector('.waiting').hidden = !empty
  }

  showFeed(snapshot) {
    this.feed.toggleAttribute('data-none', snapshot.feed.length === 0)
    if (!this.feed.matches(':hover')) this.drawFeed(happenings(snapshot.feed, time(snapshot.as_of)))
  }

  // The state is decided here alone: from the socket, the age of the last snapshot, and what the snapshot says.
  tick() {
    const silent = performance.now() - this.lastMessage
    const behind = (this.snapshot?.lag_s ?? 0) + (this.lastMessage ? silent / 1000 : 0)
    let state = 'live'
    if (!this.lastMessage) state = this.connection?.failures ? 'reconnecting' : 'connecting'
    else if (!this.connection.open || silent > SILENCE_MS || !this.snapshot.connected) state = 'reconnecting'
    else if (behind > STALE_S || this.snapshot.status === 'stale') state = 'stale'
    if (this.connection?.open && this.lastMessage && silent > 2 * SILENCE_MS) this.connection.restart()
    const text = { live: `live · ${span(behind)} behind`, stale: `stale · ${span(behind)} behind`, connecting: 'connecting…', reconnecting: 'reconnecting…' }
    this.root.dataset.state = state
    write(this.root.querySelector('.status-text'), text[state])
    if (this.snapshot) document.title = `${number(this.snapshot.current_visitors_5m)} on ${this.data.site} · piStats`
  }

  async copy(button) {
    try {
      await navigator.clipboard.writeText(this.data.snippet)
    } catch {
      const range = document.createRange()
      range.selectNodeContents(this.root.querySelector('.snippet code'))
      getSelection().removeAllRanges()
      getSelection().addRange(range)
      return
    }
    write(button, 'Copied')
    setTimeout(() => write(button, 'Copy'), 1500)
  }

  close() {
    clearInterval(this.ticking)
    this.connection?.close()
  }
}

// A socket that comes back by itself: after an error, when the network returns, when the tab is looked at again.
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
    socket.onopen = () => ((this.open = true), this.changed())
    socket.onmessage = (message) => ((this.failures = 0), this.receive(JSON.parse(message.data)))
    socket.onclose = () => this.again()
  }

  again() {
    this.open = false
    this.failures += 1
    this.changed()
    const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.failures - 1))
    this.retry = setTimeout(() => this.connect(), wait * (0.7 + 0.6 * Math.random()))
    // A refused socket tells no reason. When it was the sign-in, the page goes to the login.
    fetch('/auth/check', { cache: 'no-store' }).then((answer) => answer.status === 401 && !this.closed && location.reload(), () => {})
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

// Called by Streamlit on mount, on every rerun and on a change of theme.
export default function ({ parentElement, data }) {
  const root = parentElement.querySelector('.live')
  root.page ??= new Page(root, data)
  root.page.use(data)
  return () => root.page?.close()
}

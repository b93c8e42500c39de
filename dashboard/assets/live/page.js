// The live page: takes snapshots from our socket and patches the page. Uses parts.js, world.js and connection.js.

const SILENCE_MS = 3500 // three snapshots missed: the server or the network has stopped
const BUSY_DRAWS = 3 // quick changes in a row until nothing glides any more
const BEAT_MS = 2000 // of the dot, when snapshots come
const STALE_S = 15 // a commit takes half a second; this far behind, the numbers are not "now"

class Page {
  constructor(root, data) {
    this.root = root
    Object.assign(this, { lastMessage: 0, quick: 0, changed: -QUICK_MS, beaten: -BEAT_MS })
    this.dot = root.querySelector('.dot')
    this.numbers = [...root.querySelectorAll('[data-number]')].map((element) => [element.dataset.number, counter(element)])
    this.chart = minutesChart(root)
    this.panels = Object.keys(PANELS).map((key) => {
      const panel = root.querySelector(`[data-panel="${key}"]`)
      return { key, panel, draw: ranked(panel.querySelector('.rows'), bar) }
    })
    const tip = bubble(root)
    this.world = worldMap(root.querySelector('.map'), tip)
    this.feed = root.querySelector('[data-panel="feed"]')
    const rows = this.feed.querySelector('.rows')
    this.drawFeed = ranked(rows, happening, { enterFromAbove: true })
    this.measuring = new ResizeObserver(() => this.measure())
    this.measuring.observe(root)
    this.measure()
    definitions(root, data.glossary, tip)
    root.querySelector('.snippet button').onclick = (click) => this.copy(click.target)
    this.ticking = setInterval(() => this.tick(), 500)
    this.look = () => document.hidden || (this.snapshot && this.show(this.snapshot))
    document.addEventListener('visibilitychange', this.look)
  }

  use(data) {
    this.data = data
    this.advise(data.empty, data.site)
    this.root.querySelector('.chart a').href = `/history?${new URLSearchParams({ site: data.site })}`
    if (this.address === data.socket) return
    this.address = data.socket
    this.connection?.close()
    this.lastMessage = 0
    this.show(data.snapshot)
    this.connection = new Connection(data.socket, (snapshot) => this.receive(snapshot), () => this.tick())
  }

  advise({ title, says, snippet, link }, site) {
    const find = (what) => this.root.querySelector(`.waiting ${what}`)
    write(find('h3'), title)
    find('.paste').hidden = !snippet
    if (!snippet) return
    write(find('.paste span'), says)
    write(find('.site'), site)
    write(find('.snippet code'), snippet)
    find('.hint a').href = link
  }

  // Sizes come from the style sheet. They are read when the width changes, not at every snapshot: reading costs a layout.
  measure() {
    const read = (element, name) => parseFloat(getComputedStyle(element).getPropertyValue(name))
    this.rooms = Object.fromEntries(this.panels.map(({ key, panel }) => [key, read(panel, '--rows')]))
    this.rowHeight = read(this.panels[0].panel, '--row')
    this.feedHeight = read(this.feed.querySelector('.rows'), '--row')
    if (this.snapshot) this.show(this.snapshot)
  }

  // Nobody sees a hidden tab but for its title: what it missed is drawn when it is looked at again.
  receive(snapshot) {
    this.lastMessage = performance.now()
    if (snapshot.site === this.data.site) {
      this.pace(snapshot)
      if (document.hidden) this.snapshot = snapshot
      else this.show(snapshot)
    }
    this.tick()
    this.beat()
  }

  // On a busy site everything moves all the time: then bars and colours jump, by little, instead of gliding.
  pace(snapshot) {
    const newest = snapshot.feed[0]?.event_id
    if (newest === this.newest) return
    const now = performance.now()
    this.quick = now - this.changed < QUICK_MS ? this.quick + 1 : 0
    Object.assign(this, { newest, changed: now })
    this.root.toggleAttribute('data-busy', this.quick >= BUSY_DRAWS)
  }

  // The dot beats when numbers come, not for ever: an animation without an end keeps a processor awake.
  beat() {
    const now = performance.now()
    if (document.hidden || still.matches || this.root.dataset.state !== 'live' || now - this.beaten < BEAT_MS) return
    this.beaten = now
    this.dot.animate({ opacity: [0.5, 0], transform: ['scale(1)', 'scale(3.2)'] }, { duration: 1000, easing: 'ease-out', pseudoElement: '::after' })
  }

  show(snapshot) {
    this.snapshot = snapshot
    for (const [key, set] of this.numbers) set(snapshot[key])
    this.chart(snapshot.views_per_minute)
    for (const { key, panel, draw } of this.panels) {
      const rows = snapshot[key] ?? []
      panel.toggleAttribute('data-none', rows.length === 0)
      draw(bars(PANELS[key], rows).slice(0, this.rooms[key]), this.rowHeight)
    }
    this.world(snapshot.countries ?? [])
    this.showFeed(snapshot)
    write(this.root.querySelector('.warnings'), (snapshot.warnings ?? []).join(' '))
    const empty = !snapshot.feed.length && !snapshot.visitors_30m && !snapshot.views_per_minute.some((minute) => minute.views)
    this.root.dataset.empty = empty
    this.root.querySelector('.waiting').hidden = !empty
    this.root.toggleAttribute('data-quiet', !empty && !snapshot.visitors_30m)
  }

  showFeed(snapshot) {
    this.feed.toggleAttribute('data-none', snapshot.feed.length === 0)
    if (!this.feed.matches(':hover')) this.drawFeed(happenings(snapshot.feed, time(snapshot.as_of)), this.feedHeight)
  }

  // The state is decided here alone: from the socket, the age of the last snapshot, and what the snapshot says.
  tick() {
    const silent = performance.now() - this.lastMessage
    const behind = (this.snapshot?.lag_s ?? 0) + (this.lastMessage ? silent / 1000 : 0)
    let state = 'live'
    if (!this.lastMessage) state = this.connection?.failures ? 'reconnecting' : 'connecting'
    else if (!this.connection.open || silent > SILENCE_MS || !this.snapshot.connected) state = 'reconnecting'
    else if (this.snapshot.status === 'starting') state = 'starting'
    else if (behind > STALE_S || this.snapshot.status === 'stale') state = 'stale'
    if (this.connection?.open && this.lastMessage && silent > 2 * SILENCE_MS) this.connection.restart()
    const text = { live: `live · ${span(behind)} behind`, stale: `stale · ${span(behind)} behind`, connecting: 'connecting…', starting: 'no consumer yet', reconnecting: 'reconnecting…' }
    this.root.dataset.state = state
    write(this.root.querySelector('.status-text'), text[state])
    write(this.root.querySelector('[role=status]'), text[state].split(' ·')[0]) // read aloud: what changes, not the seconds
    const title = this.snapshot && `${number(this.snapshot.current_visitors_5m)} on ${this.data.site} · piStats`
    if (title && document.title !== title) document.title = title
  }

  async copy(button) {
    try {
      await navigator.clipboard.writeText(this.data.empty.snippet)
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
    document.removeEventListener('visibilitychange', this.look)
    this.measuring.disconnect()
    this.connection?.close()
  }
}

// Called by Streamlit on mount, on every rerun and on a change of theme.
export default function ({ parentElement, data: [data] }) {
  const root = parentElement.querySelector('.live')
  root.page ??= new Page(root, data)
  root.page.use(data)
  return () => root.page?.close()
}

// The moving parts of the live page: numbers, ranked rows, the chart, definitions.
// Event text only ever goes through textContent.

const TREND_MS = 450
const QUICK_MS = 700 // what follows sooner moves by itself: no movement would be over before the next
const TURNOVER = 6 // so many new rows at once are another list, not rows that come in
const SHARE_STEPS = 250 // of a bar: less is below a pixel
const TEXT_CHARS = 300 // what a line can show; the rest is cut, not laid out

const regions = new Intl.DisplayNames(['en'], { type: 'region', fallback: 'none' })
const whole = new Intl.NumberFormat('en-US')
const compact = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 })

const number = (n) => (n < 10000 ? whole : compact).format(n)
const count = (n, word) => `${number(n)} ${word}${n === 1 ? '' : 's'}`
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
// Sets a style that is not set yet: most of a page stays as it is from one snapshot to the next.
const put = (element, name, value) => {
  const known = (element.known ??= {})
  if (known[name] !== value) element.style[name] = known[name] = value
}
const span = (s) => (s < 60 ? `${Math.round(s)} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`)
const time = (value) => (typeof value === 'number' ? value : Date.parse(value))

const still = matchMedia('(prefers-reduced-motion: reduce)')

// A number that counts to its new value instead of jumping, unless the next value is here before it has arrived.
function counter(element) {
  let shown = null
  let frame = 0
  let changed = -QUICK_MS
  return (value) => {
    if (value === shown) return
    const from = shown ?? value
    const quick = performance.now() - changed < QUICK_MS
    shown = value
    changed = performance.now()
    element.dataset.value = value
    cancelAnimationFrame(frame)
    if (quick || from === value || still.matches) return write(element, number(value))
    const start = performance.now()
    const step = (now) => {
      const part = Math.min(1, (now - start) / TREND_MS)
      write(element, number(Math.round(from + (value - from) * (1 - (1 - part) ** 3))))
      if (part < 1) frame = requestAnimationFrame(step)
    }
    step(start)
  }
}

// Rows that keep their element while their key stays, and glide to their rank. Where nearly everything is new at once,
// the elements stay where they are and say something else: nobody can follow, and making elements is dear.
function ranked(container, build, { enterFromAbove = false } = {}) {
  let rows = new Map()
  const enter = (element, from, to) => still.matches || element.animate({ opacity: [0, 1], transform: [from, to] }, { duration: 300, easing: 'ease-out' })
  const add = () => {
    const row = build()
    row.element.classList.add('row')
    container.append(row.element)
    return row
  }
  const leave = (row) => {
    row.element.classList.add('gone')
    setTimeout(() => row.element.remove(), 300)
  }
  return (items, rowHeight) => {
    const next = new Map(items.map((item) => [item.key, item]))
    const fresh = [...next.keys()].filter((key) => !rows.has(key))
    const turnover = rows.size > 0 && fresh.length >= TURNOVER
    const spare = turnover ? [...rows.values()] : []
    const kept = new Map()
    let rank = 0
    for (const [key, item] of next) {
      const known = turnover ? spare[rank] : rows.get(key)
      const row = known ?? add()
      const at = (place) => `translateY(${place * rowHeight}px)`
      row.patch(item)
      put(row.element, 'transform', at(rank))
      if (!known) enter(row.element, at(rank - (enterFromAbove ? 1 : 0)), at(rank))
      kept.set(key, row)
      rank += 1
    }
    if (turnover) spare.slice(rank).forEach(leave)
    else for (const [key, row] of rows) if (!kept.has(key)) leave(row)
    rows = kept
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
      put(part, 'transform', `scaleX(${Math.round(item.share * SHARE_STEPS) / SHARE_STEPS})`)
      write(name, item.name)
      if (name.title !== item.name) name.title = item.name
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
      put(who, 'background', `hsl(${item.hue} 62% 56%)`)
      chip.hidden = !item.chip
      write(chip, item.chip ?? '')
      write(name, item.name)
      if (name.title !== item.title) name.title = item.title
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
  entry_pages: { name: (row) => row.path, value: (row) => row.views, unknown: 'No path' },
  channels: { name: (row) => row.channel, value: (row) => row.visitors, unknown: 'Not known' },
  countries: { name: (row) => country(row.country), value: (row) => row.visitors, unknown: 'Not known', code: (row) => (/^[A-Z]{2}$/.test(row.country ?? '') ? row.country : null) },
  devices: { name: (row) => row.device && capital(row.device), value: (row) => row.visitors, unknown: 'Not known' },
  browsers: { name: (row) => row.browser, value: (row) => row.visitors, unknown: 'Not known' },
  events: { name: (row) => row.event, value: (row) => row.count, unknown: 'No name' },
  trending: { name: (row) => row.topic, value: (row) => row.count, unknown: 'No topic', isNew: (row) => row.new, more: (row) => (row.new ? '' : `${number(Math.round(row.expected * 10) / 10)} expected`) },
}

function bars(panel, rows) {
  const most = Math.max(1, ...rows.map(panel.value))
  const largestFirst = [...rows].sort((one, other) => panel.value(other) - panel.value(one))
  return largestFirst.map((row) => {
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
    if (minute) write(reading, `${hovered ? clock.format(time(minute.minute)) : 'this minute'} · ${count(minute.views, 'view')} · ${count(minute.visitors, 'visitor')}`)
  }
  return (minutes) => {
    const most = ceiling(Math.max(4, ...minutes.map((minute) => minute.views)))
    write(top, number(most))
    write(middle, number(most / 2))
    const seen = new Set()
    const fresh = slots.size > 0
    const moves = []
    minutes.forEach((minute, index) => {
      const key = time(minute.minute)
      seen.add(key)
      let slot = slots.get(key)
      if (!slot) {
        slot = make('div', 'slot')
        slot.append(make('i'))
        put(slot, 'left', `${((index + (fresh ? 1 : 0)) / minutes.length) * 100}%`)
        container.append(slot)
        slot.onpointerenter = () => ((hovered = slot.minute), read())
        slot.onpointerleave = () => ((hovered = null), read())
        slots.set(key, slot)
        moves.push(slot)
      }
      if (hovered && slot.minute === hovered) hovered = minute
      slot.minute = minute
      slot.index = index
    })
    if (moves.length) container.offsetWidth
    for (const [key, slot] of slots) {
      if (!seen.has(key)) {
        slots.delete(key)
        slot.remove()
        continue
      }
      put(slot, 'left', `${(slot.index / minutes.length) * 100}%`)
      slot.classList.toggle('open', slot.index === minutes.length - 1)
      // A bar of full height that is pushed down: this moves without a layout, and its corners stay round.
      const missing = `${Math.round(100 * (1 - slot.minute.views / most))}%`
      put(slot.firstChild, 'transform', `translateY(${slot.minute.views ? `min(100% - 3px, ${missing})` : '100%'})`)
    }
    latest = minutes[minutes.length - 1]
    read()
  }
}
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value && step % 2 === 0)
}

// One bubble for all that is explained, kept inside the window: below its box, above when there is no room.
function bubble(root) {
  const tip = make('div', 'tip')
  tip.setAttribute('role', 'tooltip')
  root.append(tip)
  const show = (text, box) => {
    write(tip, text)
    const own = root.getBoundingClientRect()
    const left = Math.max(12, Math.min(box.left, innerWidth - tip.offsetWidth - 12))
    const below = box.bottom + 8
    const top = below + tip.offsetHeight > innerHeight ? box.top - 8 - tip.offsetHeight : below
    tip.style.left = `${left - own.left}px`
    tip.style.top = `${top - own.top}px`
    tip.classList.add('shown')
  }
  return { show, hide: () => tip.classList.remove('shown') }
}

function definitions(root, glossary, tip) {
  for (const element of root.querySelectorAll('[data-term]')) {
    element.tabIndex = 0
    element.setAttribute('aria-description', glossary[element.dataset.term].definition)
    element.onpointerenter = element.onfocus = () => tip.show(glossary[element.dataset.term].definition, element.getBoundingClientRect())
    element.onpointerleave = element.onblur = tip.hide
  }
  root.querySelector('.status').title = glossary.lag.definition
}

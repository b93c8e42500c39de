// The world by visitors: a shape per country of WORLD, one hue, the darker the more. Codes are looked up, never written.

const SENT_ROWS = 50 // pistats/live/view.py sends so many countries; with fewer, a country that is missing has nobody
const FAINTEST = 25 // per cent of the hue for a single visitor among many: still seen beside empty land

function worldMap(container, tip) {
  const draw = (tag, attributes) => {
    const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
    return element
  }
  const svg = draw('svg', { viewBox: WORLD.box.join(' '), role: 'group', 'aria-label': 'Visitors by country. Arrow keys go from country to country.', tabindex: -1 })
  const shapes = new Map()
  for (const [code, d] of Object.entries(WORLD.shapes)) {
    const path = draw('path', { d, 'data-country': code })
    shapes.set(code, path)
    svg.append(path)
  }
  const outline = draw('path', { class: 'outline' })
  svg.append(outline)
  const scale = make('div', 'scale')
  const most = make('span')
  scale.append(make('span', '', '1'), make('i'), most)
  container.append(svg, scale)

  let visitors = new Map() // by code, most first
  let missing = 'no visitors'
  let shown = null // the code that the bubble speaks of, and where it stands
  const says = (code) => `${country(code)} · ${visitors.has(code) ? count(visitors.get(code), 'visitor') : missing}`
  const show = (path, box) => {
    shown = { code: path.dataset.country, box }
    outline.setAttribute('d', path.getAttribute('d'))
    tip.show(says(shown.code), box)
  }
  const hide = () => {
    shown = null
    outline.removeAttribute('d')
    tip.hide()
  }
  const reach = (path, tabIndex) => {
    if (path.reached === tabIndex) return
    path.reached = tabIndex
    tabIndex === null ? path.removeAttribute('tabindex') : (path.tabIndex = tabIndex)
  }
  const under = (event) => event.target.closest?.('[data-country]')
  svg.onpointermove = (event) => (under(event) ? show(under(event), new DOMRect(event.clientX + 6, event.clientY - 8, 0, 20)) : shown && hide())
  svg.onpointerleave = hide
  svg.addEventListener('focusout', hide)
  svg.addEventListener('focusin', (event) => {
    if (!under(event)) return // the map itself: Chromium lets whatever listens to focus have it
    for (const code of visitors.keys()) reach(shapes.get(code), shapes.get(code) === event.target ? 0 : -1)
    const box = event.target.getBoundingClientRect()
    show(event.target, new DOMRect(box.x + box.width / 2, box.y, 0, box.height))
  })
  svg.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    if (!step || !under(event)) return
    event.preventDefault()
    const codes = [...visitors.keys()]
    shapes.get(codes.at((codes.indexOf(under(event).dataset.country) + step) % codes.length)).focus()
  }

  const paint = (path, share, label) => {
    const fill = share ? `color-mix(in srgb, var(--accent) ${Math.round(FAINTEST + (100 - FAINTEST) * Math.sqrt(share))}%, var(--land))` : ''
    put(path, 'fill', fill)
    if (path.shownLabel === label) return
    path.shownLabel = label
    for (const [name, value] of [['role', 'img'], ['aria-label', label]]) label ? path.setAttribute(name, value) : path.removeAttribute(name)
  }
  return (rows) => {
    const known = rows.filter((row) => shapes.has(row.country) && row.visitors > 0).sort((one, other) => other.visitors - one.visitors)
    visitors = new Map(known.map((row) => [row.country, row.visitors]))
    missing = rows.length < SENT_ROWS ? 'no visitors' : `not among the first ${SENT_ROWS}`
    const largest = known[0]?.visitors ?? 0
    const focused = svg.querySelector('path:focus')
    const reachable = visitors.has(focused?.dataset.country) ? focused.dataset.country : known[0]?.country
    for (const [code, path] of shapes) {
      const value = visitors.get(code)
      paint(path, value && value / largest, value ? says(code) : null)
      reach(path, value ? (code === reachable ? 0 : -1) : null)
    }
    write(most, number(largest))
    scale.style.visibility = largest > 1 ? '' : 'hidden'
    if (shown) tip.show(says(shown.code), shown.box)
  }
}

// The metrics of a range as tiles, the chosen one over time. Numbers, labels and the axis arrive formatted.

const TOP = 14 // room above the highest value: flags and the axis' upper mark
const LABEL_WIDTH = 84
const MARK_CHAR_WIDTH = 7 // of the axis' values, which stand at the right of everything

function tile(item, send) {
  const button = make('button', 'tile')
  button.type = 'button'
  button.setAttribute('role', 'radio')
  button.setAttribute('aria-checked', String(item.chosen))
  button.tabIndex = item.chosen ? 0 : -1
  const change = make('div', 'change')
  if (item.change) {
    const arrow = { up: '↑', down: '↓', same: '=', new: '' }[item.change.direction]
    change.dataset.good = item.change.good === null ? '' : item.change.good ? 'yes' : 'no'
    explain(change, `${item.change.words}\n${item.change.period}`)
    put(change, make('b', 'value', `${arrow} ${item.change.text}`.trim()))
  }
  const number = explain(make('div', 'number value', item.value), item.exact === item.value ? '' : item.exact)
  number.dataset.metric = item.key
  put(button, explain(make('div', 'label text', item.name), item.definition), number, change)
  button.onclick = () => item.chosen || send('metric', item.key)
  return button
}

function tiles(root, items, send) {
  const row = root.querySelector('.tiles')
  row.replaceChildren(...items.map((item) => tile(item, send)))
  row.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    const at = [...row.children].indexOf(event.target)
    if (!step || at < 0) return
    event.preventDefault()
    const next = row.children[(at + step + row.children.length) % row.children.length]
    next.tabIndex = 0
    next.focus()
  }
}

// The chart: everything of one series in one SVG of the element's own size, drawn anew when either changes.
class Chart {
  constructor(root, send) {
    Object.assign(this, { root, send, area: root.querySelector('.area'), axis: root.querySelector('.axis'), reading: root.querySelector('.reading') })
    this.at = null
    this.watching = new ResizeObserver(() => this.chart && this.draw())
    this.watching.observe(this.area)
    this.area.onpointermove = (event) => this.point(Math.floor(((event.clientX - this.area.getBoundingClientRect().left) / this.width) * this.points.length))
    this.area.onpointerleave = () => this.point(null)
    this.area.onblur = () => this.point(null)
    this.area.onfocus = () => this.area.matches(':focus-visible') && this.point(this.points.length - 1)
    this.area.onkeydown = (event) => this.key(event)
  }

  show(chart) {
    this.chart = chart
    this.points = chart.points
    this.at = null
    write(this.root.querySelector('.name'), chart.name)
    const keys = [make('span', '', chart.range)]
    if (chart.before) keys.push(make('span', 'before', chart.before))
    if (this.points.at(-1)?.open && chart.kind === 'columns') keys.push(make('span', 'open', 'so far'))
    this.root.querySelector('.keys').replaceChildren(...keys)
    this.area.setAttribute('aria-label', `${chart.name}, ${chart.range}. Use the arrow keys to read it.`)
    this.draw()
  }

  x(index) {
    return ((index + 0.5) / this.points.length) * this.width
  }

  y(value) {
    return this.height - (value / this.chart.top) * (this.height - TOP)
  }

  draw() {
    this.whole = this.area.clientWidth
    this.width = this.whole - 8 - MARK_CHAR_WIDTH * Math.max(...this.chart.marks.map(({ text }) => text.length))
    this.height = this.area.clientHeight
    if (!this.whole) return
    const svg = draw('svg', { 'aria-hidden': 'true' })
    if (!this.chart.empty) put(svg, this.defs(), ...this.ground(), ...this.series(), this.line('before', 'before'), ...this.flags())
    this.guide = draw('g', {})
    this.svg = put(svg, this.guide)
    this.area.replaceChildren(svg, ...(this.chart.empty ? [emptyState(this.chart.empty)] : []))
    this.labels()
    this.read()
  }

  defs() {
    const pattern = draw('pattern', { id: 'open', width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' })
    put(pattern, draw('rect', { width: 6, height: 6, class: 'hatch-ground' }), draw('line', { x1: 1, y1: 0, x2: 1, y2: 6, class: 'hatch' }))
    return put(draw('defs', {}), pattern)
  }

  ground() {
    const marks = this.chart.marks.flatMap(({ at, text }) => {
      const label = draw('text', { x: this.whole, y: this.y(at) - 4, class: 'mark', 'text-anchor': 'end' })
      label.textContent = text
      return [draw('line', { x1: 0, x2: this.whole, y1: this.y(at), y2: this.y(at), class: 'grid' }), label]
    })
    return [...marks, draw('line', { x1: 0, x2: this.whole, y1: this.height - 0.5, y2: this.height - 0.5, class: 'ground' })]
  }

  series() {
    if (this.chart.kind === 'columns') return this.columns()
    const last = this.points.length - 1
    const open = this.points[last]?.open && last > 0
    return [this.under(), this.line('line', 'value', 0, open ? last : last + 1), open ? this.line('line open', 'value', last - 1, last + 1) : null, ...this.lonely()]
  }

  columns() {
    const slot = this.width / this.points.length
    const wide = Math.min(slot * 0.72, 56)
    this.bars = this.points.map((point, index) => {
      const high = point.value ? Math.max(2, this.height - this.y(point.value)) : 0
      const round = Math.min(4, wide / 2, high)
      const [left, top, right] = [this.x(index) - wide / 2, this.height - high, this.x(index) + wide / 2]
      const path = `M${left},${this.height}V${top + round}Q${left},${top} ${left + round},${top}H${right - round}Q${right},${top} ${right},${top + round}V${this.height}Z`
      return draw('path', { d: high ? path : '', class: `column${point.open ? ' open' : ''}` })
    })
    return this.bars
  }

  // A line with gaps where there is no value.
  line(className, key, from = 0, to = this.points.length) {
    let path = ''
    let pen = 'M'
    for (let index = from; index < to; index += 1) {
      const value = this.points[index][key]
      if (value == null) pen = 'M'
      else {
        path += `${pen}${this.x(index).toFixed(1)},${this.y(value).toFixed(1)}`
        pen = 'L'
      }
    }
    return path ? draw('path', { d: path, class: className }) : null
  }

  under() {
    const known = this.points.map((point, index) => [index, point.value]).filter(([, value]) => value != null)
    if (known.length < 2) return null
    const path = known.map(([index, value]) => `L${this.x(index).toFixed(1)},${this.y(value).toFixed(1)}`).join('')
    return draw('path', { d: `M${this.x(known[0][0])},${this.height}${path}L${this.x(known.at(-1)[0])},${this.height}Z`, class: 'under' })
  }

  // A value between two gaps has no line to stand on.
  lonely() {
    return this.points.flatMap((point, index) => {
      const alone = point.value != null && this.points[index - 1]?.value == null && this.points[index + 1]?.value == null
      return alone ? [draw('circle', { cx: this.x(index), cy: this.y(point.value), r: 4, class: 'dot' })] : []
    })
  }

  flags() {
    return this.chart.flags.flatMap(({ at, number }) => {
      const label = draw('text', { x: this.x(at), y: 12, class: 'flag-number' })
      label.textContent = number
      return [draw('line', { x1: this.x(at), x2: this.x(at), y1: 16, y2: this.height, class: 'flag' }), draw('circle', { cx: this.x(at), cy: 8, r: 8, class: 'flag-ground' }), label]
    })
  }

  labels() {
    const every = Math.max(1, Math.ceil(this.points.length / Math.max(2, Math.floor(this.width / LABEL_WIDTH))))
    const shown = this.points.flatMap((point, index) => (index % every === 0 ? [[point.short, this.x(index)]] : []))
    this.axis.replaceChildren(
      ...shown.map(([text, x]) => {
        const label = make('span', x < 30 ? 'first' : x > this.whole - 30 ? 'last' : '', text)
        label.style.left = `${x < 30 ? 0 : x > this.whole - 30 ? this.whole : x}px`
        return label
      }),
    )
  }

  key(event) {
    const last = this.points.length - 1
    const now = this.at ?? last
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key]
    if (next === undefined) return
    event.preventDefault()
    this.point(next)
  }

  point(index) {
    if (!this.points?.length) return
    const at = index === null ? null : Math.max(0, Math.min(this.points.length - 1, index))
    if (at === this.at) return
    this.at = at
    this.read()
  }

  read() {
    this.bars?.forEach((bar, index) => bar.classList.toggle('read', index === this.at))
    this.guide.replaceChildren()
    const point = this.points[this.at]
    if (!point) return this.reading.replaceChildren()
    if (this.chart.kind !== 'columns') put(this.guide, draw('line', { x1: this.x(this.at), x2: this.x(this.at), y1: TOP, y2: this.height, class: 'guide' }))
    if (this.chart.kind !== 'columns' && point.value != null) put(this.guide, draw('circle', { cx: this.x(this.at), cy: this.y(point.value), r: 5, class: 'dot' }))
    const parts = [document.createTextNode(`${point.label} · `), make('b', '', point.text)]
    if (point.open) parts.push(document.createTextNode(' so far'))
    if (point.before_text) parts.push(document.createTextNode(` · before: ${point.before_text}`))
    this.reading.replaceChildren(...parts)
  }
}

function notes(root, items, canRemove, send) {
  root.querySelector('.notes').replaceChildren(
    ...items.map((note) => {
      const line = put(make('li'), make('span', 'nr value', note.number), make('span', 'when', note.date), cut(make('span', 'text'), note.text))
      if (!canRemove) return line
      const remove = make('button', '', '×')
      remove.type = 'button'
      remove.setAttribute('aria-label', `Remove the annotation of ${note.date}`)
      remove.onclick = () => send('remove', note.id)
      return put(line, remove)
    }),
  )
}

function bones(root) {
  root.querySelector('.tiles').replaceChildren(...Array.from({ length: 8 }, () => put(make('div', 'tile'), bone('70px', '12px', 'margin:4px 0'), bone('84px', '24px', 'margin:4px 0 8px'), bone('50px', '11px'))))
  root.querySelector('.area').replaceChildren(bone('100%', '100%'))
}

export default element((root, data, send) => {
  notes(root, data.notes ?? [], data.can_edit, send)
  if (data.loading) return bones(root)
  tiles(root, data.tiles, send)
  root.chart ??= new Chart(root, send)
  root.chart.show(data.chart)
})

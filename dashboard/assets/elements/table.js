// One dimension as ranked rows. A click on a row filters the page; "All" opens every row with every metric.

const ROWS = 8
const CODE = /^[A-Z]{2}$/ // a country comes as its code; what is none has no room in the badge

function row(data, item, send) {
  const button = make('button', `row${item.unknown ? ' unknown' : ''}`)
  button.type = 'button'
  button.disabled = !data.picks
  button.setAttribute('aria-pressed', String(!!item.picked))
  const part = make('span', 'part')
  part.style.transform = `scaleX(${item.share})`
  const number = make('span', 'number value', item.cells[0].text)
  number.title = item.cells[0].exact
  put(button, part, data.kind === 'country' && CODE.test(item.code ?? '') ? make('span', 'code', item.code) : null, cut(make('span', 'name text'), item.name), make('span', 'share value', item.part), number)
  button.onclick = () => send('pick', item.key)
  return button
}

function tabs(root, data, send) {
  const tab = ({ key, name }) => {
    const button = make('button', '', name)
    button.type = 'button'
    button.setAttribute('role', 'tab')
    button.setAttribute('aria-selected', String(key === data.tab))
    button.onclick = () => key === data.tab || send('tab', key)
    return button
  }
  root.querySelector('.tabs').replaceChildren(...(data.tabs.length > 1 ? data.tabs.map(tab) : []))
}

// Everything: sorted by a click on a column, searched as one types.
class Everything {
  constructor(root, send) {
    Object.assign(this, { root, send, dialog: root.querySelector('dialog'), sort: 0, down: true })
    this.search = this.dialog.querySelector('input')
    this.search.oninput = () => this.fill()
    this.dialog.querySelector('.close').onclick = () => this.dialog.close()
    this.dialog.onclick = (event) => event.target === this.dialog && this.dialog.close()
  }

  open(data) {
    this.show(data)
    this.search.value = ''
    this.dialog.showModal()
    this.fill()
  }

  show(data) {
    this.data = data
    write(this.dialog.querySelector('h2'), data.title_of_all)
    if (this.dialog.open) this.fill()
  }

  fill() {
    const sought = this.search.value.trim().toLowerCase()
    const value = (item) => (this.sort < 0 ? item.name : item.cells[this.sort].value ?? -1)
    const order = (one, other) => (value(one) < value(other) ? -1 : value(one) > value(other) ? 1 : 0) * (this.down ? -1 : 1)
    const found = this.data.rows.filter((item) => item.name.toLowerCase().includes(sought)).sort(order)
    this.dialog.querySelector('thead').replaceChildren(put(make('tr'), this.head({ name: this.data.column }, -1), ...this.data.columns.map((column, index) => this.head(column, index))))
    this.dialog.querySelector('tbody').replaceChildren(...found.map((item) => this.line(item)))
  }

  head({ name, definition }, index) {
    const cell = make('th')
    const button = explain(make('button', '', name + (index === this.sort ? (this.down ? ' ↓' : ' ↑') : '')), definition)
    button.type = 'button'
    if (index === this.sort) cell.setAttribute('aria-sort', this.down ? 'descending' : 'ascending')
    button.onclick = () => {
      this.down = index === this.sort ? !this.down : index >= 0
      this.sort = index
      this.fill()
    }
    return put(cell, button)
  }

  line(item) {
    const name = cut(make('button', 'text'), item.name)
    name.type = 'button'
    name.disabled = !this.data.picks
    name.onclick = () => (this.dialog.close(), this.send('pick', item.key))
    return put(make('tr'), put(make('td'), name), ...item.cells.map((cell) => make('td', '', cell.exact)))
  }
}

export default element((root, data, send) => {
  const body = root.querySelector('.body')
  write(root.querySelector('h2'), data.title)
  if (data.loading) {
    body.replaceChildren(...Array.from({ length: ROWS }, (_, index) => put(make('div', 'row'), bone(`${92 - index * 8}%`, '26px'))))
    return
  }
  for (const item of data.rows) item.name = item.unknown ? item.name : spoken(data.kind, item.name)
  tabs(root, data, send)
  write(root.querySelector('.first'), data.column)
  term(write(root.querySelector('.second'), data.columns[0].name), data.columns[0].definition)
  body.replaceChildren(...(data.rows.length ? data.rows.slice(0, ROWS).map((item) => row(data, item, send)) : [emptyState(data.empty)]))
  root.everything ??= new Everything(root, send)
  root.everything.show(data)
  const more = root.querySelector('.more')
  more.hidden = !data.rows.length
  write(more, data.rows.length > ROWS ? `All ${data.count} and every metric` : 'Every metric')
  more.onclick = () => {
    root.everything.open(root.everything.data)
    if (data.asks) send('every', data.tab)
  }
  cut(root.querySelector('.note'), data.note)
})

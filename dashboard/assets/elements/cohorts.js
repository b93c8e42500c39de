// The cohort grid: a row for each cohort, a column for each period after it. The depth of one hue is the share.

const DEEPEST = 0.92 // the full colour would leave no room for the hover

function cell(item, clicks, send) {
  const box = make('td', 'cell')
  if (!item) return box
  const depth = 4 + item.share * DEEPEST * 96
  box.style.setProperty('--depth', `${Math.round(depth)}%`)
  box.toggleAttribute('data-deep', depth > 78 && !item.whole)
  box.toggleAttribute('data-open', !!item.open)
  box.toggleAttribute('data-whole', !!item.whole)
  box.toggleAttribute('data-picked', !!item.picked)
  const button = explain(make('button', '', item.text), item.says)
  button.type = 'button'
  button.dataset.middle = 'yes'
  button.dataset.cell = item.key
  button.tabIndex = -1
  if (clicks) button.onclick = () => send('cell', item.key)
  else button.style.cursor = 'default'
  return put(box, button)
}

function line(row, data, send) {
  const cells = data.heads.map((_, index) => cell(row.cells[index], data.clicks, send))
  return put(make('tr'), make('th', 'stuck', row.label), make('td', 'size', row.size), ...cells)
}

function mean(data) {
  const cells = data.mean.map((item) => explain(make('td', 'cell', item?.text ?? ''), item?.says))
  return put(make('tr', 'mean'), term(make('th', 'stuck', 'Weighted mean'), data.mean_says), make('td', 'size', data.size), ...cells)
}

// Arrow keys walk through the cells; one of them is in the tab order.
function keys(table) {
  const buttons = () => [...table.querySelectorAll('.cell button')]
  const first = buttons()[0]
  if (first) first.tabIndex = 0
  table.onkeydown = (event) => {
    const from = event.target.closest('.cell')
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key]
    if (!from || !step) return
    event.preventDefault()
    const rows = [...table.querySelectorAll('tbody tr:not(.mean)')]
    const to = rows[rows.indexOf(from.parentElement) + step[0]]?.children[from.cellIndex + step[1]]?.querySelector('button')
    if (!to) return
    buttons().forEach((button) => (button.tabIndex = -1))
    to.tabIndex = 0
    to.focus()
  }
}

// As many lines as there will be: the head, the mean, a line for each cohort.
function bones(root, cohorts) {
  root.grid = null
  root.querySelector('thead').replaceChildren(put(make('tr'), make('th', 'stuck')))
  const rows = Array.from({ length: cohorts + 1 }, (_, row) => put(make('tr'), put(make('td', 'stuck'), bone('96px', '14px')), put(make('td', 'size'), bone('36px', '14px')), ...Array.from({ length: Math.min(cohorts, cohorts + 1 - row) }, () => put(make('td', 'cell'), bone('100%', '32px', 'min-width:52px')))))
  root.querySelector('tbody').replaceChildren(...rows)
}

// Where the keyboard was, so that a grid that moves with every commit does not take it away.
const held = (root) => root.getRootNode().activeElement?.dataset.cell

export default element((root, data, send) => {
  root.querySelector('.legend').hidden = !!(data.loading || data.empty)
  if (data.loading) return bones(root, data.cohorts)
  const { fresh, ...grid } = data
  write(root.querySelector('.fresh'), fresh)
  // How far the numbers reach changes with every look; the cells stay as they are while they say the same.
  const text = JSON.stringify(grid)
  if (root.grid === text) return
  root.grid = text
  const cell = held(root)
  showGrid(root, data, send)
  const back = cell && root.querySelector(`[data-cell="${cell}"]`)
  if (back) back.focus({ preventScroll: true })
})

function showGrid(root, data, send) {
  term(write(root.querySelector('h2'), data.title), data.title_says)
  write(root.querySelector('.says'), data.says)
  explain(root.querySelector('.fresh'), data.fresh_says)
  write(root.querySelector('.before'), data.before)
  write(root.querySelector('.few'), '0 %')
  write(root.querySelector('.many'), data.deepest)
  const [head, body] = [root.querySelector('thead'), root.querySelector('tbody')]
  root.querySelector('.empty')?.remove()
  if (data.empty) {
    head.replaceChildren()
    body.replaceChildren()
    return root.append(emptyState(data.empty))
  }
  root.querySelector('table').style.setProperty('--columns', data.heads.length)
  head.replaceChildren(put(make('tr'), make('th', 'stuck', data.cohort), term(make('th', 'size', 'Visitors'), data.size_says), ...data.heads.map((name) => make('th', '', name))))
  body.replaceChildren(mean(data), ...data.rows.map((row) => line(row, data, send)))
  keys(root.querySelector('table'))
}

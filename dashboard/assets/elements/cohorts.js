// The cohort grid: a row for each cohort, a column for each period after it. The depth of one hue is the share.

const DEEPEST = 0.92 // the full colour would leave no room for the hover

// Everything is patched in place: a cell that is replaced under the pointer, with every commit, would lose its click.
function cell(box, item, data, send) {
  box.className = 'cell'
  const depth = 4 + (item?.share ?? 0) * DEEPEST * 96
  box.style.setProperty('--depth', `${Math.round(depth)}%`)
  box.toggleAttribute('data-open', !!item?.open)
  box.toggleAttribute('data-whole', !!item?.whole)
  box.toggleAttribute('data-picked', !!item?.picked)
  if (!item) return box.replaceChildren()
  const button = box.firstElementChild ?? box.appendChild(make('button'))
  explain(write(button, item.text), item.says)
  button.type = 'button'
  button.dataset.middle = 'yes'
  button.dataset.cell = item.key
  button.onclick = data.clicks ? () => send('cell', item.key) : null
  button.style.cursor = data.clicks ? '' : 'default'
}

function line(shown, row, data, send) {
  const [label, size, ...cells] = fit(shown, 2 + data.heads.length, (at) => make(at ? 'td' : 'th'))
  write(label, row.label).className = 'stuck'
  write(size, row.size).className = 'size'
  cells.forEach((box, index) => cell(box, row.cells[index], data, send))
}

function mean(shown, data) {
  shown.className = 'mean'
  const [label, size, ...cells] = fit(shown, 2 + data.heads.length, (at) => make(at ? 'td' : 'th'))
  term(write(label, 'Weighted mean'), data.mean_says).classList.add('stuck')
  write(size, data.size).className = 'size'
  cells.forEach((box, index) => {
    box.className = 'cell'
    explain(write(box, data.mean[index]?.text), data.mean[index]?.says ?? '')
  })
}

// Arrow keys walk through the cells; one of them is in the tab order.
function keys(table) {
  const buttons = () => [...table.querySelectorAll('.cell button')]
  const all = buttons()
  const reached = all.find((button) => button === table.getRootNode().activeElement) ?? all[0]
  for (const button of all) button.tabIndex = button === reached ? 0 : -1
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
  root.bare = true
  const rows = Array.from({ length: cohorts + 1 }, (_, row) => put(make('tr'), put(make('td', 'stuck'), bone('96px', '14px')), put(make('td', 'size'), bone('36px', '14px')), ...Array.from({ length: Math.min(cohorts, cohorts + 1 - row) }, () => put(make('td', 'cell'), bone('100%', '32px', 'min-width:52px')))))
  root.querySelector('tbody').replaceChildren(...rows)
}

// Where the keyboard was, so that a grid that moves with every commit does not take it away.
const held = (root) => root.getRootNode().activeElement?.dataset.cell

export default element((root, data, send) => {
  root.querySelector('.legend').style.visibility = data.loading || data.empty ? 'hidden' : ''
  const { fresh, ...grid } = data
  write(root.querySelector('.fresh'), fresh)
  // How far the numbers reach changes with every look; the cells stay as they are while they say the same.
  const text = JSON.stringify(grid)
  if (root.grid === text) return
  root.grid = text
  const cell = held(root)
  showGrid(root, data, send)
  const back = cell && root.querySelector(`[data-cell="${cell}"]`)
  if (back && back !== root.getRootNode().activeElement) back.focus({ preventScroll: true })
})

function showGrid(root, data, send) {
  root.querySelector('.empty')?.remove()
  head(root, data)
  if (data.loading) return bones(root, data.cohorts)
  write(root.querySelector('.before'), data.before)
  const body = root.querySelector('tbody')
  if (root.bare || data.empty) body.replaceChildren()
  root.bare = false
  if (data.empty) {
    root.querySelector('thead').replaceChildren()
    return root.append(emptyState(data.empty))
  }
  const [first, ...rows] = fit(body, 1 + data.rows.length, () => make('tr'))
  mean(first, data)
  rows.forEach((row, index) => line(row, data.rows[index], data, send))
  keys(root.querySelector('table'))
}

// What the question alone says: it stands before the answer comes.
function head(root, data) {
  term(write(root.querySelector('h2'), data.title), data.title_says)
  write(root.querySelector('.says'), data.says)
  explain(root.querySelector('.fresh'), data.fresh_says)
  write(root.querySelector('.few'), '0 %')
  write(root.querySelector('.many'), data.deepest)
  const heads = data.heads ?? []
  root.querySelector('table').style.setProperty('--columns', heads.length)
  root.querySelector('thead').replaceChildren(put(make('tr'), make('th', 'stuck', data.cohort), term(make('th', 'size', 'Visitors'), data.size_says), ...heads.map((name) => make('th', '', name))))
}

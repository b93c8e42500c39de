// A table of things that the page has formatted, with what can be done about each row. Asks once more before it is done,
// and draws nothing anew meanwhile: a button that is replaced under the pointer loses its click.

const SURE_MS = 4000

const action = (root, send) => (wanted) => {
  const button = make('button', '', wanted.label)
  button.onclick = () => {
    if (!button.classList.contains('sure')) {
      button.classList.add('sure')
      write(button, 'Sure?')
      setTimeout(() => button.classList.contains('sure') && (button.classList.remove('sure'), root.draw()), SURE_MS)
      return
    }
    button.classList.remove('sure')
    send('act', [wanted.name, wanted.value])
  }
  return button
}

const table = (root, data, send) => {
  const body = root.querySelector('.scroll')
  write(root.querySelector('h2'), data.title)
  write(root.querySelector('header span'), data.says)
  if (data.loading) return body.replaceChildren(bone('100%', '70px'))
  if (!data.rows.length) return body.replaceChildren(emptyState(data.empty))
  const side = (index) => (data.columns[index]?.right ? 'right' : '')
  const head = put(make('tr'), ...data.columns.map((column, index) => {
    const cell = make('th', side(index))
    cell.scope = 'col'
    return put(cell, term(make('span', '', column.name), column.tip))
  }))
  const rows = data.rows.map((row) => {
    const cells = row.cells.map((cell, index) => cut(make('td', `${side(index)} ${cell.tone ?? ''}`), cell.text))
    const acts = row.acts ? put(make('td', 'acts'), ...row.acts.map(action(root, send))) : null
    return put(make('tr', row.total ? 'total' : ''), ...cells, acts)
  })
  if (data.rows.some((row) => row.acts)) head.append(make('th'))
  body.replaceChildren(put(make('table'), put(make('thead'), head), put(make('tbody'), ...rows)))
}

export default element((root, data, send) => {
  root.draw = () => table(root, data, send)
  if (!root.querySelector('button.sure')) root.draw()
})

// A table of things that the page has formatted, with what can be done about them. Asks once more before it is done, and
// draws nothing anew meanwhile: a button that is replaced under the pointer loses its click.

const SURE_MS = 6000

const action = (root, send) => (wanted) => {
  const button = make('button', 'act', wanted.label)
  button.type = 'button'
  if (wanted.about) button.setAttribute('aria-label', `${wanted.label} ${wanted.about}`)
  button.onclick = () => {
    if (!button.classList.contains('sure')) {
      button.classList.add('sure')
      button.removeAttribute('aria-label')
      write(button, wanted.sure)
      setTimeout(() => button.classList.contains('sure') && (button.classList.remove('sure'), root.draw()), SURE_MS)
      return
    }
    button.classList.remove('sure')
    send('act', [wanted.name, wanted.value])
  }
  return button
}

const choices = (box, data, send) => {
  box.hidden = !(data.choices?.length > 2 || data.choices?.some((choice) => choice.chosen && choice.value.length))
  box.setAttribute('aria-label', `Which ${data.title.toLowerCase()} are listed`)
  box.replaceChildren(...(data.choices ?? []).map((choice) => {
    const button = put(write(make('button'), choice.label), make('i', '', choice.count))
    button.type = 'button'
    button.setAttribute('aria-pressed', choice.chosen)
    button.onclick = () => send('choose', choice.value)
    return button
  }))
}

// What a row has more to say, all of it, as it is: the only text here that is not cut.
const more = (row, columns) => {
  const pairs = row.more.facts.flatMap(([name, text]) => [make('dt', '', name), make('dd', '', text)])
  const whole = make('pre')
  whole.tabIndex = 0
  whole.setAttribute('aria-label', row.more.title)
  whole.textContent = row.more.text
  const cell = put(make('td', 'more'), put(make('dl'), ...pairs), whole)
  cell.colSpan = columns
  return put(make('tr'), cell)
}

const opener = (cell, row, send) => {
  const button = make('button', 'opens', cell.text)
  button.type = 'button'
  button.setAttribute('aria-expanded', !!row.more)
  button.setAttribute('aria-description', 'Shows all of it')
  button.onclick = () => send('open', row.more ? '' : row.opens)
  return button
}

// Rows behind the fold are hidden until someone asks for them; one that is wrong never is.
const folded = (root, data, rows) => {
  const hidden = data.fold && !root.unfolded ? rows.filter((row, index) => index >= data.fold && !row.querySelector('.bad')) : []
  for (const row of hidden) row.hidden = true
  if (!data.fold || rows.length <= data.fold) return null
  const button = make('button', 'fold', root.unfolded ? 'Show less' : `Show ${hidden.length} more`)
  button.type = 'button'
  button.setAttribute('aria-expanded', !!root.unfolded)
  button.onclick = () => ((root.unfolded = !root.unfolded), root.draw())
  return hidden.length || root.unfolded ? button : null
}

const table = (root, data, send) => {
  const body = root.querySelector('.scroll')
  const header = root.querySelector('header')
  root.classList.toggle('short', !!data.short)
  root.classList.toggle('cards', !data.short)
  write(root.querySelector('h2'), data.title)
  write(root.querySelector('.says'), data.says)
  header.replaceChildren(...[...header.children].filter((child) => !child.matches('.act')), ...(data.acts ?? []).map(action(root, send)))
  choices(root.querySelector('.choices'), data, send)
  if (data.loading) return body.replaceChildren(bone('100%', '70px'))
  if (!data.rows.length) return body.replaceChildren(emptyState(data.empty))
  const look = (index) => `${data.columns[index]?.right ? 'right' : ''} ${data.columns[index]?.wide ? 'wide' : ''} ${data.columns[index]?.long ? 'long' : ''}`
  const head = put(make('tr'), ...data.columns.map((column, index) => {
    const cell = make('th', look(index))
    cell.scope = 'col'
    return put(cell, term(make('span', '', column.name), column.tip))
  }))
  const anyActs = data.rows.some((row) => row.acts)
  const rows = data.rows.flatMap((row) => {
    const cells = row.cells.map((cell, index) => {
      const element = make('td', `${look(index)} ${cell.tone ?? ''}`)
      element.dataset.name = data.columns[index]?.name ?? ''
      return index === 0 && row.opens ? put(element, opener(cell, row, send)) : cut(element, cell.text)
    })
    const acts = row.acts ? put(make('td', 'acts'), ...row.acts.map(action(root, send))) : null
    const shown = put(make('tr', `${row.total ? 'total' : ''} ${row.more ? 'opened' : ''}`), ...cells, acts)
    return row.more ? [shown, more(row, cells.length + (anyActs ? 1 : 0))] : [shown]
  })
  if (anyActs) head.append(put(make('th'), make('span', 'quiet', 'What can be done')))
  const fold = folded(root, data, rows)
  body.replaceChildren(put(make('table'), put(make('thead'), head), put(make('tbody'), ...rows)), ...(fold ? [fold] : []))
}

// Who has come here by the keyboard stays where they are when the numbers change.
const keepingFocus = (root, drawing) => {
  const reached = () => [...root.querySelectorAll('button, [tabindex]')]
  const held = reached().indexOf(root.getRootNode().activeElement)
  drawing()
  if (held >= 0) reached()[held]?.focus({ preventScroll: true })
}

export default element((root, data, send) => {
  root.draw = () => keepingFocus(root, () => table(root, data, send))
  if (!root.querySelector('button.sure')) root.draw()
})

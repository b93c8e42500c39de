// What the page is filtered by. A click takes a filter away.

export default element((root, data, send) => {
  const chip = (filter) => {
    const remove = make('button', '', '×')
    remove.type = 'button'
    remove.setAttribute('aria-label', `Remove the filter ${filter.name}`)
    remove.onclick = () => send('remove', filter.key)
    return put(make('span', 'chip'), make('span', 'soft', filter.name), cut(make('b', 'text'), spoken(filter.kind, filter.value)), remove)
  }
  const [box, chips] = [root.querySelector('.chips'), (data.filters ?? []).map(chip)]
  const clear = make('button', 'clear', 'Clear all')
  clear.type = 'button'
  clear.onclick = () => send('remove', '')
  box.replaceChildren(...(chips.length ? [] : [make('span', 'soft', data.hint)]), ...chips, ...(chips.length > 1 ? [clear] : []))
  if (chips.length > (root.many ?? chips.length)) box.scrollLeft = box.scrollWidth // to the new one
  root.many = chips.length
})

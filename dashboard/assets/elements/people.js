// Visitors as links to their pages.

export default element((root, data, send) => {
  const body = root.querySelector(':scope > div')
  write(root.querySelector('h2'), data.title)
  write(root.querySelector('header span'), data.says)
  if (data.loading) return body.replaceChildren(bone('100%', '60px'))
  const person = (visitor) => {
    const link = put(make('a'), cut(make('span', 'text'), visitor.name), make('span', 'value', visitor.says))
    link.href = visitor.link
    link.onclick = (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return
      event.preventDefault()
      send('open', visitor.id)
    }
    return link
  }
  body.replaceChildren(data.visitors.length ? put(make('div', 'list'), ...data.visitors.map(person)) : emptyState(data.empty))
})

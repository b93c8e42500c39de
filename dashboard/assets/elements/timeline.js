// One visitor: facts, then a card for every session, newest first; in it the events as they happened.

const FACTS = 8 // as many as there may be: the same room is kept for fewer
const SHOWN = 12 // events of a session before "show all"

function facts(root, items) {
  root.querySelector('dl').replaceChildren(
    ...items.map((fact) => {
      const value = cut(make('dd', `text value${fact.small ? ' small' : ''}`), fact.parts ? fact.parts.map(([kind, text]) => (kind === 'device' ? text[0].toUpperCase() + text.slice(1) : spoken(kind, text))).join(' · ') : fact.value)
      if (fact.key) value.dataset.fact = fact.key
      return put(make('div'), term(make('dt', '', fact.name), fact.definition), value)
    }),
    ...Array.from({ length: items.length ? FACTS - items.length : 0 }, () => make('div')),
  )
}

function event(item) {
  const line = make('li', 'event')
  line.toggleAttribute('data-own', !!item.name && !item.quiet)
  line.toggleAttribute('data-quiet', !!item.quiet)
  const what = put(make('div', 'what'), item.name ? cut(make('span', 'chip text'), item.name) : null, cut(make('span', 'text'), item.where), item.title ? cut(make('span', 'title text'), item.title) : null)
  const more = make('div')
  put(more, what)
  if (item.inline) item.properties.forEach(([name, value]) => put(what, put(make('span', 'property'), make('i', '', name), cut(make('b', 'text'), value))))
  else if (item.properties.length) {
    const list = make('dl')
    item.properties.forEach(([name, value]) => put(list, make('dt', '', name), make('dd', '', value)))
    put(more, put(make('details'), make('summary', '', item.properties_say), list))
  }
  return put(line, make('time', 'value', item.time), more)
}

function session(item) {
  const card = make('li', 'card session')
  const head = put(make('header'), make('h3', 'value', item.start), cut(make('span', 'soft text'), item.from), make('span', 'soft value end', item.says))
  const list = make('ol', 'events')
  const show = (events) => events.forEach((happened) => put(list, event(happened)))
  put(card, head, item.missing ? make('p', 'gap', item.missing) : null, item.events.length ? list : null)
  show(item.events.slice(0, SHOWN))
  const rest = item.events.slice(SHOWN)
  if (rest.length) {
    const button = make('button', 'rest', `${rest.length} more events`)
    button.type = 'button'
    button.onclick = () => (button.remove(), show(rest))
    put(card, button)
  }
  return card
}

export default element((root, data) => {
  const [nothing, card, list] = ['.nothing', '.facts', '.sessions'].map((part) => root.querySelector(part))
  // In the place of all the rest: had it only taken the list's, it would jump to where the facts are now.
  nothing.hidden = !data.empty
  card.hidden = list.hidden = !!data.empty
  if (data.empty) return nothing.replaceChildren(emptyState(data.empty))
  if (data.loading) {
    root.querySelector('dl').replaceChildren(...Array.from({ length: FACTS }, () => put(make('div'), bone('70px', '12px', 'margin:4px 0 10px'), bone('96px', '20px'))))
    return list.replaceChildren(...Array.from({ length: 2 }, () => put(make('li', 'card'), bone('calc(100% - 40px)', '150px', 'margin:20px'))))
  }
  facts(root, data.facts)
  list.replaceChildren(...data.sessions.map(session))
})

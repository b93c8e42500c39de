// The steps of a funnel from top to bottom: a bar for who came so far, and between two bars who went on and how fast.

function step(item) {
  const what = put(make('div', 'what'), cut(make('b', 'text'), item.name), item.detail ? cut(make('span', 'soft text'), item.detail) : null)
  const many = put(make('div', 'many value'), make('b', '', item.visitors), make('span', '', item.share))
  many.title = item.exact
  many.dataset.step = item.number
  const bar = item.part == null ? bone('100%', '100%') : make('i')
  if (item.part != null) bar.style.width = `${item.part * 100}%`
  return put(make('div', 'step'), make('div', 'nr value', item.number), what, many, put(make('div', 'track'), bar))
}

function way(item) {
  return put(make('div', 'way value'), item.went_on ? put(make('span'), make('b', '', item.went_on), ' went on') : null, item.median ? put(make('span'), 'median ', make('b', '', item.median)) : null, make('span', '', item.lost))
}

export default element((root, data) => {
  const list = root.querySelector('ol')
  root.querySelector('header').hidden = !!data.empty
  if (data.loading) root.querySelector('.figure').replaceChildren(bone('130px', '40px', 'margin:4px 0'))
  else term(write(root.querySelector('.figure'), data.figure), data.figure_says)
  write(root.querySelector('.says'), data.says)
  if (data.empty) return list.replaceChildren(put(make('li'), emptyState(data.empty)))
  list.replaceChildren(...(data.steps ?? []).map((item) => put(make('li'), item.way ? way(item.way) : null, step(item))))
})

// A row of figures, each with what it is and what to make of it. Their elements stay, so that a reader's focus does, too.

export default element((root, data) => {
  const row = root.querySelector('.figures')
  const figures = data.figures ?? []
  const boxes = fit(row, figures.length, () => put(make('div'), make('h2'), make('b'), make('p')))
  figures.forEach((figure, index) => {
    const [name, value, says] = boxes[index].children
    term(write(name, figure.name), figure.tip)
    write(value, figure.value).className = figure.tone ?? ''
    write(says, figure.says)
  })
})

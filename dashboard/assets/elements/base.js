// What all elements share. Texts arrive formatted; they only ever go through textContent and attributes that hold text.

const TEXT_CHARS = 300 // what a line can show; the rest is cut, not laid out

const write = (element, text) => {
  const shown = String(text ?? '').slice(0, TEXT_CHARS)
  if (element.textContent !== shown) element.textContent = shown
  return element
}
const make = (tag, className, text) => {
  const element = document.createElement(tag)
  if (className) element.className = className
  return text === undefined ? element : write(element, text)
}
const put = (parent, ...children) => {
  parent.append(...children.filter((child) => child != null))
  return parent
}
// As many children as `count`: those that are there stay, `create` makes the others.
const fit = (parent, count, create) => {
  while (parent.children.length > count) parent.lastChild.remove()
  while (parent.children.length < count) parent.append(create(parent.children.length))
  return [...parent.children]
}
const bone = (width, height, style = '') => {
  const element = make('div', 'bone')
  element.style.cssText = `width:${width};height:${height};${style}`
  return element
}
const emptyState = ([title, advice]) => put(make('div', 'empty'), make('b', '', title), make('span', '', advice))

const NAMES = {
  country: new Intl.DisplayNames(['en'], { type: 'region', fallback: 'none' }),
  language: new Intl.DisplayNames(['en'], { type: 'language', fallback: 'none' }),
}
// Codes as people call them; what is no code stays as it is.
const spoken = (kind, text) => {
  try {
    return NAMES[kind]?.of(text) ?? text
  } catch {
    return text
  }
}

const SVG = 'http://www.w3.org/2000/svg'
const draw = (tag, attributes) => {
  const element = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  return element
}

// One bubble for an element's definitions and readings, kept inside the window. `data-tip` holds its text.
function tips(root) {
  const tip = make('div', 'tip')
  tip.setAttribute('role', 'tooltip')
  tip.setAttribute('popover', 'manual')
  root.append(tip)
  const hide = () => {
    tip.classList.remove('shown')
    if (tip.matches(':popover-open')) tip.hidePopover()
  }
  const show = (element) => {
    if (!element.dataset.tip || (element.dataset.cut && element.scrollWidth <= element.clientWidth)) return hide()
    write(tip, element.dataset.tip)
    if (!tip.matches(':popover-open')) tip.showPopover()
    const box = element.getBoundingClientRect()
    const left = Math.max(12, Math.min(box.left + (element.dataset.middle ? (box.width - tip.offsetWidth) / 2 : 0), innerWidth - tip.offsetWidth - 12))
    const below = box.bottom + 7
    tip.style.left = `${left}px`
    tip.style.top = `${below + tip.offsetHeight > innerHeight ? box.top - 7 - tip.offsetHeight : below}px`
    tip.classList.add('shown')
  }
  const over = (event) => {
    const element = event.target.closest?.('[data-tip]')
    element ? show(element) : hide()
  }
  root.addEventListener('pointerover', over)
  root.addEventListener('focusin', (event) => event.target.matches(':focus-visible') && over(event))
  root.addEventListener('pointerleave', hide)
  root.addEventListener('focusout', hide)
  addEventListener('scroll', hide, { capture: true, passive: true })
  return () => removeEventListener('scroll', hide, { capture: true })
}
const explain = (element, text) => {
  if (text) {
    element.dataset.tip = text
    element.setAttribute('aria-description', text)
  } else {
    delete element.dataset.tip
    element.removeAttribute('aria-description')
  }
  return element
}
// A text that may not fit: its bubble shows the whole of it.
const cut = (element, text) => {
  element.dataset.cut = 'yes'
  element.dataset.tip = text
  return write(element, text)
}
const term = (element, text) => {
  if (!text) return element
  element.classList.add('term')
  element.tabIndex = 0
  return explain(element, text)
}

// Every element is a function `(root, data, send) => void` that shows `data` whenever there is new data. `send` tells the page.
const element = (show) => ({ parentElement, data, setTriggerValue }) => {
  const root = parentElement.querySelector('.root')
  const [shown, [session, number]] = data
  root.untip ??= tips(root)
  if (session === root.session && number < root.number) return root.untip // older than what is shown: `Order` says why
  Object.assign(root, { session, number })
  root.send = (name, value) => {
    waiting(root, true)
    setTriggerValue(name, value)
  }
  const text = JSON.stringify(shown)
  waiting(root, false)
  if (root.shown !== text) {
    root.shown = text
    root.toggleAttribute('data-loading', !!shown.loading)
    show(root, shown, (name, value) => root.send(name, value))
  }
  return root.untip
}

const WAITING_MS = 10_000 // an answer that fails or that changes nothing here leaves nothing dimmed
const waiting = (root, on) => {
  clearTimeout(root.waiting)
  root.toggleAttribute('data-waiting', on)
  if (on) root.waiting = setTimeout(() => root.toggleAttribute('data-waiting', false), WAITING_MS)
}

// What the site itself reports, beside the page views that the tracker sends on its own.
window.pistats = window.pistats || function () { (pistats.q = pistats.q || []).push(arguments) }

const say = (near, text) => {
  near.closest('[data-answers]').querySelector('[role=status]').textContent = text
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-event]')
  if (!button) return
  const { event: name, said, ...properties } = button.dataset
  if (properties.value) properties.value = Number(properties.value)
  pistats('event', name, properties)
  say(button, said)
})

document.addEventListener('submit', (event) => {
  const form = event.target
  if (form.id !== 'subscribe') return
  event.preventDefault()
  pistats('identify', 'reader-' + form.elements.name.value.trim().toLowerCase())
  pistats('event', 'subscribe', { plan: 'newsletter' })
  say(form, 'Thank you: the next edition is yours.')
  form.reset()
})

const words = new URLSearchParams(location.search).get('q')
if (location.pathname === '/search' && words) {
  pistats('event', 'search', { words, results: document.querySelectorAll('.grid > a').length })
}

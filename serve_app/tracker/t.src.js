// piStats tracker. Readable source of t.js; `python -m serve_app.tracker.build` minifies it.
//
// What it promises:
// - An event is first written to the queue (localStorage), then sent, and leaves the queue only when the server has answered
//   for it. It is sent again with the same event id until then; the server stores an id once.
// - Each queued event has a storage entry of its own, so two tabs never overwrite each other's events. A short lease keeps tabs
//   from sending the same entries at the same time; when it fails, the server's dedupe by id holds.
// - With Do-Not-Track or Global Privacy Control nothing is stored and nothing is sent.
(() => {
  const script = document.currentScript || document.querySelector('script[data-key]')
  const loaded = window.pistats
  if (!script || (loaded && loaded.loaded)) return

  const early = (loaded && loaded.q) || []
  const pistats = (window.pistats = (command, ...rest) => {
    try {
      if (commands[command]) commands[command](...rest)
    } catch (error) {
      console.warn('pistats:', error) // properties that are no JSON must not break the page that sends them
    }
  })
  pistats.loaded = true
  let commands = {}
  if ([navigator.doNotTrack, window.doNotTrack].includes('1') || navigator.globalPrivacyControl) return

  const key = script.getAttribute('data-key')
  const api = script.getAttribute('data-api')
  const endpoint = new URL('v1/events?key=' + encodeURIComponent(key), api ? api.replace(/\/*$/, '/') : script.src).href

  const QUEUE = 'pistats_q.' + key + '.' // + event time (13 digits) + event id: sorts by time
  const LOCK = 'pistats_lock' // a tab is sending until this time
  const WAIT = 'pistats_wait' // the server asked for silence until this time
  const VISITOR = 'pistats_visitor'
  const USER = 'pistats_user'
  const MAX_QUEUE_EVENTS = 1000
  const MAX_QUEUE_CHARS = 200000
  const MAX_AGE_MS = 82800000 // 23 h: the server remembers ids for 24 h, so an older event might be counted twice
  const MAX_BATCH_CHARS = 20000 // at most 60,000 bytes of UTF-8: browsers allow 64 KiB of keepalive requests and beacons
  const REQUEST_MS = 40000 // the server holds a request for up to 30 s while a partition restarts
  const LOCK_MS = 10000 // a tab that died while sending holds the others up for no longer
  const MAX_WAIT_MS = 3600000
  const ENGAGED_MS = 5000 // engaged = visible, with input in the last 5 s
  const REPORT_MS = 30000
  const SETTLE_MS = 100 // a router's redirect and its new title arrive within this

  // ---- storage: localStorage, or a plain object for this page only ----

  let store = {}
  let durable = true
  try {
    store = localStorage
    store[LOCK + 'test'] = 1
    delete store[LOCK + 'test']
  } catch {
    store = {}
    durable = false
  }

  const put = (name, value) => {
    try {
      store[name] = value
    } catch {
      store = { ...store, [name]: value } // storage is full: this page goes on in memory
    }
  }

  // Milliseconds until the stored time; 0 when past, absent, or further off than `limit` (the clock was set back).
  const remaining = (name, limit) => {
    const ms = store[name] - Date.now()
    return ms > 0 && ms <= limit ? ms : 0
  }

  // ---- who ----

  // crypto.randomUUID exists in secure contexts only.
  const newId = () =>
    crypto.randomUUID
      ? crypto.randomUUID()
      : '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (digit) =>
          (digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (digit / 4)))).toString(16),
        )

  const cookie = () => (document.cookie.match('(?:^|; )' + VISITOR + '=([^;]+)') || [])[1]

  // Read from storage every time: two first tabs agree after the first event. Undefined when nothing can be kept:
  // the server then uses a hash that changes daily.
  const visitorId = () => {
    if (durable) {
      if (!store[VISITOR]) put(VISITOR, newId())
      return store[VISITOR]
    }
    if (!cookie()) document.cookie = VISITOR + '=' + newId() + ';path=/;max-age=34000000;samesite=lax'
    return cookie()
  }

  // ---- queue ----

  // Names of the queued events, oldest first. What is too old, or above the bounds, is dropped, oldest first.
  const queued = () => {
    let chars = 0
    return Object.keys(store)
      .filter((name) => name.startsWith(QUEUE))
      .sort()
      .reverse()
      .filter((name, index) => {
        const age = Date.now() - name.substr(QUEUE.length, 13)
        chars += (store[name] || '').length
        const keep = index < MAX_QUEUE_EVENTS && chars < MAX_QUEUE_CHARS && Math.abs(age) < MAX_AGE_MS
        return keep || !delete store[name]
      })
      .reverse()
  }

  let page = {}
  let lastTime = 0

  const track = (name, properties) => {
    // Strictly rising within a page, so that order survives the millisecond.
    lastTime = Math.max(Date.now(), lastTime + 1)
    const id = newId()
    const event = {
      event_id: id,
      name: String(name).slice(0, 64),
      visitor_id: visitorId(),
      user_id: store[USER],
      url: page.url,
      referrer: page.referrer || undefined,
      title: page.title,
      time: lastTime,
      language: navigator.language,
      screen: screen.width + 'x' + screen.height,
      properties,
    }
    put(QUEUE + lastTime + id, JSON.stringify(event))
    if (!timer && !sending.length) schedule(SETTLE_MS)
  }

  // ---- sending ----

  let sending = [] // names of the events of the request in flight
  let timer = 0
  let failures = 0
  let left = false // after pagehide, until the page comes back

  const schedule = (ms) => {
    clearTimeout(timer)
    timer = setTimeout(send, ms)
  }

  // The oldest events that fit into one request; at least one.
  const nextBatch = () => {
    const batch = []
    let chars = 0
    for (const name of queued()) {
      if (sending.includes(name)) continue
      chars += (store[name] || '').length
      if (batch.length && chars > MAX_BATCH_CHARS) break
      if (store[name]) batch.push(name)
    }
    return batch
  }

  const bodyOf = (batch) => '{"sent_at":' + Date.now() + ',"events":[' + batch.map((name) => store[name]) + ']}'

  const send = async () => {
    clearTimeout(timer)
    timer = 0
    if (left || sending.length) return // the answer to what is in flight sends the rest
    const wait = remaining(WAIT, MAX_WAIT_MS) || (remaining(LOCK, LOCK_MS) && 500 + 500 * Math.random())
    const batch = nextBatch()
    if (!batch.length) return
    if (wait) return schedule(wait)

    let delay = 0
    const abort = new AbortController()
    const timeout = setTimeout(() => abort.abort(), REQUEST_MS)
    const body = bodyOf(batch)
    sending = batch
    put(LOCK, Date.now() + LOCK_MS)
    try {
      const answer = await fetch(endpoint, {
        method: 'POST',
        body, // text/plain: no preflight
        keepalive: body.length < MAX_BATCH_CHARS + 1000,
        credentials: 'omit',
        signal: abort.signal,
      })
      const status = answer.status
      const final = [400, 401, 403, 413].includes(status)
      if (status == 202 || final) {
        failures = 0
        const text = await answer.text()
        const rejected = final ? [] : JSON.parse(text).rejected
        // Their partition did not answer in time: they stay in the queue, and go again under the same ids.
        const again = rejected.filter((one) => one.reason == 'unavailable').map((one) => one.index)
        batch.forEach((name, index) => again.includes(index) || delete store[name])
        if (final || rejected.length > again.length) console.warn('pistats: events dropped', status, text)
        if (again.length) throw status
      } else {
        const seconds = +answer.headers.get('retry-after')
        if (seconds > 0) put(WAIT, Date.now() + Math.min(seconds * 1000, MAX_WAIT_MS))
        throw status
      }
    } catch {
      // 1 s, 2 s, 4 s … one minute, spread so that tabs and visitors do not come back together.
      if (batch.some((name) => store[name])) delay = Math.min(60000, 1000 * 2 ** failures++) * (0.5 + Math.random() / 2)
    }
    clearTimeout(timeout)
    sending = []
    delete store[LOCK]
    schedule(delay)
  }

  // ---- engagement ----

  let engaged = 0
  let from = 0
  let until = 0
  let depth = 0

  const settle = () => {
    const now = performance.now()
    if (until > from) engaged += Math.min(now, until) - from
    from = now
  }

  const onInput = () => {
    if (document.hidden) return
    settle()
    until = from + ENGAGED_MS
  }

  const onScroll = () => {
    onInput()
    measureDepth()
  }

  const measureDepth = () => {
    depth = Math.max(depth, Math.min(100, (100 * (scrollY + innerHeight)) / document.documentElement.scrollHeight))
  }

  const reportEngagement = () => {
    settle()
    if (engaged < 1) return
    track('engagement', { engaged_ms: Math.round(engaged), scroll_percent: Math.round(depth) })
    engaged = 0
  }

  // ---- page views ----

  const address = () => location.href.split('#')[0]

  // <meta name="pistats:topic" content="…"> gives page views a property `topic`.
  const metaProperties = () => {
    const properties = {}
    document.querySelectorAll('meta[name^="pistats:"]').forEach((meta) => (properties[meta.name.slice(8)] = meta.content))
    return properties
  }

  let navigation

  const view = (again) => {
    clearTimeout(navigation)
    const here = address()
    if (page.address == here && again !== true) return
    reportEngagement()
    depth = 0
    page = {
      address: here,
      url: location.href.slice(0, 2048),
      referrer: (page.url || document.referrer).slice(0, 2048),
      title: document.title.slice(0, 512),
    }
    track('page_view', metaProperties())
    measureDepth()
  }

  // Waits for the router to finish: a redirect is one view, and the title is the new page's.
  const onNavigate = () => {
    clearTimeout(navigation)
    navigation = setTimeout(view, SETTLE_MS)
  }

  for (const method of ['pushState', 'replaceState']) {
    const original = history[method]
    history[method] = function () {
      const result = original.apply(this, arguments)
      onNavigate()
      return result
    }
  }

  // ---- leaving ----

  const onHide = () => {
    if (!document.hidden) return
    until = Math.min(until, performance.now())
    reportEngagement()
    send()
  }

  // Nobody will be here to read the answer: the events stay queued, and the next page sends them again under the same ids.
  const onLeave = () => {
    view()
    reportEngagement()
    const batch = nextBatch()
    if (batch.length && !remaining(WAIT, MAX_WAIT_MS)) navigator.sendBeacon(endpoint, bodyOf(batch))
    if (sending.length) delete store[LOCK]
    left = true // a request that starts now would take the lock and never give it back
  }

  const onReturn = (event) => {
    left = false
    if (event.persisted) view(true) // back from the back/forward cache
  }

  const onClick = (event) => {
    const link = event.target.closest && event.target.closest('a[href]')
    if (!link || !/^https?:$/.test(link.protocol) || link.host == location.host) return
    track('outbound_click', { url: link.href.slice(0, 2048) })
    send()
  }

  // ---- start ----

  commands = {
    event(name, properties) {
      view()
      track(name, properties)
    },
    // Kept for later pages; without an id (null), forgotten: the user signed out.
    identify(user) {
      if (user == null || user === '') return delete store[USER]
      user = String(user).slice(0, 128)
      if (store[USER] == user) return
      put(USER, user)
      track('identify')
    },
  }

  const start = () => {
    view(true)
    for (const call of early) pistats(...call)
    const on = (target, names, listener) =>
      names.split(' ').forEach((name) => target.addEventListener(name, listener, { capture: true, passive: true }))
    on(window, 'popstate', onNavigate)
    on(window, 'pagehide', onLeave)
    on(window, 'pageshow', onReturn)
    on(window, 'online', () => {
      failures = 0
      schedule(0)
    })
    on(window, 'scroll', onScroll)
    on(window, 'pointermove pointerdown keydown wheel touchstart touchmove', onInput)
    on(document, 'visibilitychange', onHide)
    on(document, 'click auxclick', onClick)
    setInterval(reportEngagement, REPORT_MS)
  }

  if (document.prerendering) document.addEventListener('prerenderingchange', start, { once: true })
  else start()
})()

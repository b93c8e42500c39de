
// A socket that closes may say that the sign-in is over, which it cannot tell: then the page goes to the login.
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given)
    this.addEventListener('close', () => fetch('/auth/check', { cache: 'no-store' }).then((answer) => answer.status === 401 && location.reload(), () => {}))
  }
}

"""A page with a channel, a handler that sends it the time, and one that the page posts to. Python 2.7 and 3."""

import time

from google.appengine.api import channel

PAGE = """<!DOCTYPE html><title>delivery</title><body><script src="/_ah/channel/jsapi"></script><script>
var usableAt = performance.now(), openedAt = 0, delays = [], opened = false;
var behind = [], left, answeredAt, ownAt;
function tell(path, what) {
  var xhr = new XMLHttpRequest();
  xhr.open('POST', path);
  xhr.send(what);
}
function post() {
  var xhr = new XMLHttpRequest();
  if (!left--) { tell('/posted', JSON.stringify(behind)); return; }
  answeredAt = ownAt = 0;
  xhr.open('POST', '/own');
  xhr.onload = function () { answeredAt = performance.now(); both(); };
  xhr.send();
}
function both() {
  if (!answeredAt || !ownAt) return;
  behind.push(ownAt - answeredAt);
  setTimeout(post, 500 * Math.random());
}
new goog.appengine.Channel('%s').open({
  onopen: function () { openedAt = performance.now(); opened = true; tell('/opened', 'yes'); },
  onmessage: function (message) {
    if (/^post/.test(message.data)) { left = Number(message.data.slice(5)); post(); return; }
    if (message.data === 'own') { ownAt = performance.now(); both(); return; }
    if (message.data === 'report') { tell('/report', JSON.stringify(delays)); return; }
    delays.push(performance.timeOrigin + performance.now() - 1000 * message.data);
  },
  onerror: function () {},
  onclose: function () {}
});
</script></body>"""

told = {"/opened": "", "/report": "", "/posted": ""}


def app(environ, start_response):
    """`GET /` is the page, which tells /opened, /report and /posted.

    /send sends it the time, /ask what it is to do, and /own answers its own posts.
    """
    path, posted = environ["PATH_INFO"], environ["REQUEST_METHOD"] == "POST"
    answer = ""
    if path == "/send":
        channel.send_message("page", repr(time.time()))
    elif path == "/ask":
        channel.send_message("page", environ["QUERY_STRING"].replace("+", " "))
    elif path == "/own":
        channel.send_message("page", "own")
    elif path in told and posted:
        told[path] = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode("ascii")
    elif path in told:
        answer = told[path]
    else:
        answer = PAGE % channel.create_channel("page")
    start_response("200 OK", [("Content-Type", "text/html")])
    return [answer.encode("ascii")]
